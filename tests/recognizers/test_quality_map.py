"""Networks that go on from one of their taps, and the quality maps that are made of their answers."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from icm_jax.errors import IcmError
from icm_jax.recognizers.mobilenet_v2 import MobileNetV2
from icm_jax.recognizers.preprocessing import Preprocessing, ShortSideCrop
from icm_jax.recognizers.quality_map import grad_cam, photo_map, quality_map, read_map
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.resnet import LAYERS, ResNet, ResNetSpec
from tests.recognizers.detection.test_rcnn import small_detector

SMALL = ResNet(ResNetSpec((1, 1, 1, 1), 4, (2, 2, 2, 2), (8, 8, 8, 8), classes=5))
IMAGES = jax.random.uniform(jax.random.key(1), (2, 64, 64, 3))


def recognizer(network: nn.Module, params: dict, output: str = "logits", **values) -> Recognizer:
    chosen = Preprocessing(ShortSideCrop(80, 64), scale=10.0)
    return Recognizer(params, values.pop("name", "small"), network, chosen, LAYERS, output)


@pytest.fixture(scope="module")
def classifier() -> Recognizer:
    return recognizer(SMALL, SMALL.init(jax.random.key(0), IMAGES)["params"])


@pytest.mark.parametrize("tap", ["stem", "layer1", "layer4"])
def test_going_on_from_a_tap_is_the_whole_network(classifier: Recognizer, tap: str) -> None:
    whole = classifier.outputs(IMAGES)
    rest = classifier.continued(tap, whole[tap])
    assert set(rest) == {tap, *list(whole)[list(whole).index(tap) :]}
    for name, value in rest.items():
        np.testing.assert_array_equal(value, whole[name])


def test_mobilenet_names_where_it_can_go_on(classifier: Recognizer) -> None:
    params = jax.eval_shape(MobileNetV2().init, jax.random.key(0), IMAGES)["params"]
    rest = jax.eval_shape(
        lambda params, maps: MobileNetV2().apply({"params": params}, maps, start="features.3"),
        params,
        jnp.zeros((2, 16, 16, 24)),
    )
    assert {"features.3", "features.4"} < set(rest) and "features.2" not in rest
    assert rest["logits"].shape == (2, 1000)
    with pytest.raises(IcmError, match="small can not go on from 'pooled'; choose one of stem, layer1"):
        classifier.continued("pooled", IMAGES)


def test_a_detector_goes_on_from_its_first_layer() -> None:
    network, params = small_detector("detectron2")
    x = 10 * jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
    maps = network.apply({"params": params}, x)
    rest = network.apply({"params": params}, maps["layer1"], start="layer1")
    for name in ("p2", "p5", "p6"):
        np.testing.assert_array_equal(rest[name], maps[name])


def test_grad_cam_is_the_weighted_last_map(classifier: Recognizer) -> None:
    """Behind the mean and a linear layer, gradients are the row of the answered class over the positions."""
    outputs = classifier.outputs(IMAGES)
    maps, answer = outputs["layer4"], outputs["logits"].argmax(-1)
    kernel = classifier.params["classifier"]["kernel"][:, answer].T
    expected = np.maximum(np.einsum("bhwc,bc->bhw", maps, kernel), 0)
    expected /= np.maximum(expected.max((1, 2), keepdims=True), 1e-6)
    np.testing.assert_allclose(grad_cam(classifier, IMAGES), expected, rtol=1e-4, atol=1e-5)
    whole = quality_map(classifier, IMAGES)
    assert whole.shape == (2, 64, 64, 1) and whole.min() >= 0 and whole.max() <= 1
    gradient = jax.grad(lambda x: quality_map(classifier, x).sum())(IMAGES)
    assert not np.any(gradient)


def test_a_photo_of_any_size_gets_a_map_of_its_size(classifier: Recognizer) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (50, 71, 3), dtype=np.uint8)
    found = photo_map(classifier, photo)
    assert found.shape == (50, 71) and found.dtype == np.uint8


class Answer(nn.Module):
    """A network with one given answer."""

    name_of: str
    answer: tuple

    def __call__(self, x: jax.Array) -> dict:
        return {self.name_of: jnp.asarray(self.answer, jnp.float32)[None]}


def test_segmenters_give_what_is_not_background() -> None:
    logits = (((0.0, 0.0), (50.0, 0.0)), ((0.0, 50.0), (0.0, 0.0)))
    found = quality_map(recognizer(Answer("logits", logits), {}), IMAGES[:1, :2, :2])
    np.testing.assert_allclose(found[0, ..., 0], [[0.5, 0], [1, 0.5]], atol=1e-6)


def test_networks_of_other_answers_are_refused() -> None:
    with pytest.raises(IcmError, match="small gives no quality map; take a classifier"):
        quality_map(recognizer(Answer("pool5", (0.0,)), {}, "pool5"), IMAGES)


def test_detectors_give_the_inside_of_their_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    network, params = small_detector("detectron2")
    found = {
        "boxes": jnp.array([[[8.0, 16.0, 24.0, 32.0], [0.0, 0.0, 64.0, 64.0]]]),
        "scores": jnp.array([[0.9, 0.3]]),
    }
    monkeypatch.setattr(type(network), "detect", lambda self, x, sizes, start="": found)
    inside = np.zeros((64, 64))
    inside[16:32, 8:24] = 1
    seen = quality_map(recognizer(network, params, "detections"), IMAGES[:1])
    np.testing.assert_array_equal(seen[0, ..., 0], inside)


def test_maps_from_files(tmp_path: Path) -> None:
    drawn = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(drawn).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_map(tmp_path / "a.png", (3, 4)), drawn)
    with pytest.raises(IcmError, match=r"L of 4×3, expected 8-bit grey \(L\) of 5×3, the size of its photo"):
        read_map(tmp_path / "a.png", (3, 5))
    with pytest.raises(IcmError, match=r"b\.png: no readable quality map"):
        read_map(tmp_path / "b.png", (3, 4))
