"""MTLoRA trained for a few steps: what changes, what is written, and how a run starts from another's backbone."""

import dataclasses
import importlib

import jax
import numpy as np
import pytest

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.evaluate.judge import load_judge
from icm_jax.objectives.multi_task import TRAINED, pretrained_backbone, read_model
from icm_jax.recognizers.registry import load_recognizer, save_weights
from icm_jax.recognizers.swin import Swin
from icm_jax.train import loop
from icm_jax.train.registry import parse
from weights_convert.torchvision import expected_params


def smoke_config(variant: str = "smoke"):
    module = importlib.import_module("configs.mtlora.scenes")
    config = module.get_config("smoke")
    config.trainable = module.get_config(variant).trainable
    return config


def test_what_is_trained_and_what_is_written(tmp_path):
    config = smoke_config()
    config.model.swin.update(depths=(1,), heads=(1,), windows=(3,))
    config.model.channels = (4,)
    state = loop.train(config, tmp_path)
    _, objective = parse(config)
    _, frozen = paths.select(jax.eval_shape(objective.initial_params, jax.random.key(0)), TRAINED)
    kernels = {path.rsplit("/", 2)[-2] for path in paths.flatten(frozen["model"])}
    assert kernels == {"qkv", "proj", "fc1", "fc2"}
    network = load_recognizer("mtlora", tmp_path / "codecs" / "mtlora.safetensors")
    assert network.network.spec.tasks == ("normals", "semseg")
    images = np.random.default_rng(0).uniform(size=(1, 40, 33, 3)).astype(np.float32)
    outputs = jax.jit(lambda network, x: network.outputs(x))(network, images)
    assert outputs["semseg"].shape == (1, 40, 33, 6) and outputs["normals"].shape == (1, 40, 33, 3)
    assert np.isfinite(outputs["semseg"]).all()
    judge = load_judge("normals", "mtlora", str(tmp_path / "codecs" / "mtlora.safetensors"), str(tmp_path))
    assert judge.answers is not None and judge.network["name"] == "mtlora#normals"
    (answer,) = judge.answers([(255 * images[0]).astype(np.uint8)])
    np.testing.assert_allclose(answer, outputs["normals"][0], atol=0.05)
    with pytest.raises(IcmError, match="no head of 'depth', its tasks are normals, semseg"):
        load_judge("depth", "mtlora", str(tmp_path / "codecs" / "mtlora.safetensors"), str(tmp_path))
    moved = paths.flatten(state.statistics)["batch_stats/head_semseg/norm/mean"]
    stored = paths.flatten(network.params)["head_semseg/norm/mean"]
    np.testing.assert_allclose(stored, moved, atol=1e-7)
    assert np.abs(moved).max() > 0


def test_the_backbone_run_trains_kernels_and_no_updates():
    _, objective = parse(smoke_config())
    trained, frozen = paths.select(
        jax.eval_shape(objective.initial_params, jax.random.key(0)), smoke_config("backbone").trainable
    )
    assert "model/backbone/layer0_block0/attn/qkv/kernel" in paths.flatten(trained)
    assert frozen["model"].keys() == {"lora_shared", "lora_tasks"}


def test_a_run_starts_from_the_backbone_of_another(tmp_path):
    config = smoke_config()
    config.multi_task.backbone = str(tmp_path / "backbone.safetensors")
    _, objective = parse(config)
    spec = read_model(config.model.to_dict()).swin
    shapes = expected_params(Swin(spec))
    made = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.25, np.float32), shapes)
    save_weights("swin-t", Swin(spec), made, tmp_path / "backbone.safetensors")
    started = objective.initial_params(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, started["model"]["backbone"], made)
    with pytest.raises(IcmError, match=r"width=8.*a SwinSpec.*width=12.*make them equal"):
        pretrained_backbone(tmp_path / "backbone.safetensors", dataclasses.replace(spec, width=12))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "tasks",
            ("semseg", "sal"),
            "scenes has no labels of 'sal'; choose of semseg, depth, normals, edge",
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
