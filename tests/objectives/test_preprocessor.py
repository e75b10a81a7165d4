"""Baselines: a network without a codec judges pictures behind classical codecs, with a pre-processor or without."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from configs.dora_icm import preprocessor, published
from icm_jax import cli
from icm_jax.data.image_io import read_image
from icm_jax.entropy.block_dct import block_dct_coded, dct_matrix
from icm_jax.errors import IcmError
from icm_jax.pretrained.preprocessor import read_preprocessor
from icm_jax.pretrained.task_network import read_network
from icm_jax.train import loop
from icm_jax.train.registry import parse


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """A network of the task, trained for two steps without a codec."""
    workdir = tmp_path_factory.mktemp("run")
    loop.train(published.published("nyud", "smoke,dora-baseline"), workdir)
    return workdir / "codecs" / "network.safetensors"


def test_from_training_to_curves(network: Path, tmp_path: Path, capsys) -> None:
    config = preprocessor.get_config("small")
    config.preprocessor.widths = (4, 6)
    config.judge.network = str(network)
    config.data.update(count=4, size=64, batch_size=2)
    config.optim.update(total_steps=1, warmup_steps=0)
    config.checkpoint.every_steps = config.log.every_steps = 1
    state = loop.train(config, tmp_path / "run")
    assert int(state.step) == 1 and set(state.params) == {"preprocessor"}
    file = tmp_path / "run" / "codecs" / "preprocessor.safetensors"
    assert cli.main(["data", "scenes", "-o", str(tmp_path / "scenes"), "--count", "2", "--size", "64"]) == 0
    photo = read_image(tmp_path / "scenes" / "images" / "000000.png")
    made = read_preprocessor(file)(photo[:50, :61])
    assert made.shape == (50, 61, 3) and np.abs(made.astype(int) - photo[:50, :61]).max() < 64
    arguments = ["eval", tmp_path / "scenes" / "images", "--codecs", "jpeg:5,50", f"jpeg+{file}:5,50"]
    arguments += ["--task", "semseg-scenes", "--recognizer", network]
    arguments += ["--labels", tmp_path / "scenes" / "semseg", "-o", tmp_path / "results"]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert (tmp_path / "results" / "jpeg+preprocessor.json").is_file()
    capsys.readouterr()
    arguments[arguments.index("semseg-scenes")] = "depth"
    assert cli.main([str(argument) for argument in arguments]) == 2
    assert "predicts 'semseg', not depth" in capsys.readouterr().err


def test_a_network_is_refused_for_another_backbone(network: Path) -> None:
    config = preprocessor.get_config("small")
    config.judge.network = str(network.with_name("backbone.safetensors"))
    with pytest.raises(IcmError, match="its header says nothing of 'name'"):
        parse(config)
    stored = read_network(network)
    assert (stored.name, stored.task) == ("nyud-semseg-dora-baseline", "semseg")


def test_the_stand_in_is_a_transform_codec() -> None:
    basis = dct_matrix()
    np.testing.assert_allclose(basis @ basis.T, np.eye(8), atol=1e-6)
    images = jnp.asarray(np.random.default_rng(0).random((2, 16, 24, 3)), jnp.float32)
    fine, coarse = block_dct_coded(images, 1e-4), block_dct_coded(images, 0.2)
    np.testing.assert_allclose(fine.images, images, atol=1e-3)
    assert (np.asarray(fine.bits) > 2 * np.asarray(coarse.bits)).all()
    grey = block_dct_coded(jnp.full((1, 8, 8, 3), 0.5), 0.5)
    np.testing.assert_allclose(grey.bits, np.log2(1 + 8), rtol=1e-4)  # the mean alone: 8 · 0.5 / 0.5 steps
