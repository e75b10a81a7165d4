"""The table of networks, and what is said when their weights are not there."""

from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from icm_jax.errors import IcmError
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.registry import RECOGNIZERS, WEIGHTS_VARIABLE, find_weights, load_recognizer
from icm_jax.recognizers.resnet import ResNet, ResNetSpec
from weights_convert.keymap import ConversionError, invert
from weights_convert.sources import SOURCES
from weights_convert.torchvision import RESNET_RULES, expected_params

SMALL = ResNetSpec((1, 1, 1, 1), 4, (2, 2, 2, 2), (8, 8, 8, 8), classes=5)


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_taps_and_answers_are_outputs(name: str):
    entry = RECOGNIZERS[name]
    assert entry.source in SOURCES
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    params = jax.eval_shape(entry.network.init, jax.random.key(0), image)
    outputs = jax.eval_shape(entry.network.apply, params, image)
    assert set(entry.taps) <= outputs.keys()
    assert entry.output == "detections" or entry.output in outputs


def small_resnet() -> dict[str, np.ndarray]:
    """A state dict with torchvision's names."""
    rng = np.random.default_rng(0)
    shapes = expected_params(ResNet(SMALL))
    params = jax.tree.map(lambda leaf: np.abs(rng.normal(size=leaf.shape)).astype(np.float32), shapes)
    names = ["conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{part}" for part in NORM)]
    for layer in range(1, 5):
        names += [f"layer{layer}.0.conv{i}.weight" for i in (1, 2, 3)]
        names += [f"layer{layer}.0.bn{i}.{part}" for i in (1, 2, 3) for part in NORM]
        if layer in (2, 3, 4) or SMALL.stem != SMALL.out[0]:
            names += [f"layer{layer}.0.downsample.0.weight"]
            names += [f"layer{layer}.0.downsample.1.{part}" for part in NORM]
    return invert(params, RESNET_RULES, names) | {"bn1.num_batches_tracked": np.array(3)}


NORM = ("weight", "bias", "running_mean", "running_var")


def test_a_file_is_loaded_and_usable_in_a_compiled_loss(tmp_path: Path):
    safetensors.numpy.save_file(small_resnet(), tmp_path / "small.safetensors")
    recognizer = load_recognizer("resnet50", tmp_path / "small.safetensors")
    assert recognizer.network == ResNet(SMALL)

    @jax.jit
    def distance(recognizer: Recognizer, x: jax.Array, y: jax.Array) -> jax.Array:
        pairs = zip(recognizer.features(x), recognizer.features(y), strict=True)
        return sum(((a - b) ** 2).mean() for a, b in pairs)

    x, y = np.random.default_rng(1).uniform(size=(2, 1, 32, 32, 3)).astype(np.float32)
    value, gradient = jax.value_and_grad(distance, argnums=1)(recognizer, x, y)
    assert float(value) > 0
    assert float(np.abs(gradient).max()) > 0
    assert float(distance(recognizer, x, x)) == 0


@pytest.mark.parity
def test_a_pytorch_file_gives_the_same_arrays(tmp_path: Path):
    import torch

    state = small_resnet()
    safetensors.numpy.save_file(state, tmp_path / "small.safetensors")
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
    torch.save(tensors, tmp_path / RECOGNIZERS["resnet50"].file)
    by_folder = load_recognizer("resnet50", tmp_path)
    by_file = load_recognizer("resnet50", tmp_path / "small.safetensors")
    jax.tree.map(np.testing.assert_array_equal, by_folder.params, by_file.params)


def test_one_line_says_which_file_goes_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    with pytest.raises(IcmError) as caught:
        find_weights("mask-rcnn")
    message = str(caught.value)
    assert "\n" not in message
    assert f"place model_final_f10217.pkl of {RECOGNIZERS['mask-rcnn'].url} in {tmp_path}" in message
    (tmp_path / "model_final_f10217.safetensors").touch()
    assert find_weights("mask-rcnn") == tmp_path / "model_final_f10217.safetensors"
    with pytest.raises(IcmError, match="'resnet' is unknown; choose one of resnet50, "):
        load_recognizer("resnet")


def test_another_network_is_refused(tmp_path: Path):
    safetensors.numpy.save_file(small_resnet(), tmp_path / "small.safetensors")
    with pytest.raises(ConversionError, match=r"classifier\.1\.weight is missing"):
        load_recognizer("mobilenet-v2", tmp_path / "small.safetensors")
