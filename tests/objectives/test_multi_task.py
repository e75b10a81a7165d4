"""MTLoRA trained for a few steps: what changes, what is written, and how a run starts from another's backbone."""

import importlib

import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.objectives.multi_task import TRAINED, frozen_params
from icm_jax.recognizers.registry import load_recognizer
from icm_jax.train import loop
from icm_jax.train.registry import parse


def smoke_config(variant: str = "smoke"):
    module = importlib.import_module("configs.mtlora.scenes")
    config = module.get_config("smoke")
    config.trainable = module.get_config(variant).trainable
    return config


def test_what_is_trained_and_what_is_written(tmp_path):
    config = smoke_config()
    config.optim.total_steps = 3
    state = loop.train(config, tmp_path)
    _, objective = parse(config)
    _, frozen = paths.select(objective.initial_params(jnp.array([0, 1], jnp.uint32)), TRAINED)
    assert {path.rsplit("/", 2)[-2] for path in paths.flatten(frozen["model"])} == {
        "qkv",
        "proj",
        "fc1",
        "fc2",
    }
    network = load_recognizer("mtlora", tmp_path / "codecs" / "mtlora.safetensors")
    assert network.network.spec.tasks == ("depth", "edge", "normals", "semseg")
    images = np.random.default_rng(0).uniform(size=(1, 40, 33, 3)).astype(np.float32)
    outputs = network.outputs(images)
    assert outputs["semseg"].shape == (1, 40, 33, 6) and outputs["normals"].shape == (1, 40, 33, 3)
    assert np.isfinite(outputs["edge"]).all()
    moved = paths.flatten(state.statistics)["batch_stats/head_depth/norm/mean"]
    stored = paths.flatten(network.params)["head_depth/norm/mean"]
    np.testing.assert_allclose(stored, moved, atol=1e-7)
    assert np.abs(moved).max() > 0


def test_a_run_starts_from_the_backbone_of_another(tmp_path):
    backbone = smoke_config("backbone")
    loop.train(backbone, tmp_path / "swin")
    file = tmp_path / "swin" / "codecs" / "backbone.safetensors"
    config = smoke_config()
    config.multi_task.backbone = str(file)
    _, objective = parse(config)
    started = objective.initial_params(jnp.array([0, 1], jnp.uint32))
    kernel = "layer0_block0/attn/qkv/kernel"
    stored = paths.flatten(load_recognizer("swin-t", file).params)[kernel]
    np.testing.assert_array_equal(paths.flatten(started["model"]["backbone"])[kernel], stored)
    assert "head_depth/norm/mean" in paths.flatten(frozen_params(started))
    config.model.swin.width = 12
    with pytest.raises(IcmError, match=r"width=8.*a SwinSpec.*width=12.*make them equal"):
        parse(config)[1].initial_params(jnp.array([0, 1], jnp.uint32))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "tasks",
            ("semseg", "sal"),
            "scenes have no labels of 'sal'; choose of semseg, depth, normals, edge",
        ),
        ("outputs", (1, 1, 1, 1), "follows from model.tasks"),
        ("hiden", 3, "did you mean 'hidden'"),
    ],
)
def test_impossible_models_are_refused(key, value, message):
    config = smoke_config()
    config.model[key] = value
    with pytest.raises(IcmError, match=message):
        parse(config)
