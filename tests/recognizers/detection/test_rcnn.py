"""Small detectors of both families from photo to instances."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.recognizers.detection.inference import (
    CATEGORIES,
    PREPROCESSING_DETECTRON2,
    PREPROCESSING_TORCHVISION,
    in_photo,
)
from icm_jax.recognizers.detection.rcnn import RCNN
from icm_jax.recognizers.detection.spec import DETECTRON2, TORCHVISION, DetectorSpec
from tests.recognizers.small_detector import detectron2_shapes, random_state, small_spec, torchvision_shapes
from weights_convert import detectron2, torchvision_detection
from weights_convert.keymap import convert

FAMILIES = {
    "detectron2": (DETECTRON2, PREPROCESSING_DETECTRON2),
    "torchvision": (TORCHVISION, PREPROCESSING_TORCHVISION),
}


@cache
def small_detector(family: str) -> tuple[RCNN, dict]:
    spec = small_spec(FAMILIES[family][0])
    network = RCNN(spec)
    target = detectron2.expected_params(network)
    if family == "detectron2":
        rules = (*detectron2.backbone_rules("backbone/"), *detectron2.head_rules("heads/", spec.channels))
        return network, convert(random_state(detectron2_shapes(spec)), rules, target)
    rules = torchvision_detection.detector_rules(spec.channels)
    return network, convert(random_state(torchvision_shapes(spec)), rules, target)


@pytest.mark.parametrize("family", ["detectron2", pytest.param("torchvision", marks=pytest.mark.slow)])
def test_images_of_a_batch_do_not_see_each_other(family: str):
    network, params = small_detector(family)
    preprocessing = FAMILIES[family][1]
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(2, 64, 96, 3)).astype(np.float32)
    images[0, 50:] = images[0, :, 80:] = 0
    sizes = jnp.array([[50.0, 80.0], [64.0, 96.0]])
    x = preprocessing.normalise(images)
    x /= jnp.abs(x).max()  # random weights know no scale
    detect = jax.jit(lambda x, sizes: network.apply({"params": params}, x, sizes, method="detect"))
    both = detect(x, sizes)
    second = detect(jnp.stack([x[1], x[1]]), sizes[jnp.array([1, 1])])
    assert both["boxes"].shape == (2, 5, 4)
    assert both["masks"].shape == (2, 5, 28, 28)
    assert (both["scores"] > 0).any(1).all()
    for name in ("boxes", "scores", "columns", "masks"):
        np.testing.assert_allclose(both[name][1], second[name][0], atol=1e-3, err_msg=name)
    inside = np.asarray(both["boxes"][0])
    assert (inside[:, [0, 2]] <= 80).all()
    assert (inside[:, [1, 3]] <= 50).all()
    first = int(network.spec.conventions.background_first)
    found = np.asarray(both["columns"])[np.asarray(both["scores"]) > 0]
    assert ((found >= first) & (found < first + network.spec.classes)).all()


def test_called_it_gives_the_pyramid_and_gradients():
    network, params = small_detector("detectron2")

    def energy(x: jax.Array) -> jax.Array:
        maps = network.apply({"params": params}, x)
        return sum(jnp.mean(maps[f"p{n}"] ** 2) for n in range(2, 7))

    gradient = jax.jit(jax.grad(energy))(jnp.full((1, 64, 64, 3), 10.0))
    assert float(jnp.abs(gradient).max()) > 0


def test_instances_lie_in_the_photo():
    found = {
        "boxes": np.array([[0, 0, 50, 20], [10, 10, 200, 90], [300, 10, 310, 20], [0, 0, 0, 0]], np.float32),
        "scores": np.array([0.9, 0.8, 0.7, 0], np.float32),
        "columns": np.array([79, 0, 2, 0]),
        "masks": np.ones((4, 28, 28), np.float32),
    }
    instances = in_photo(found, (100, 200), (50, 100), DetectorSpec())
    # Half the size; the third lies outside, the fourth is no detection.
    np.testing.assert_allclose(instances.boxes, [[0, 0, 25, 10], [5, 5, 100, 45]])
    assert instances.categories.tolist() == [90, 1]
    assert instances.masks is not None
    assert instances.masks.sum((1, 2)).tolist() == [25 * 10, 95 * 40]
    columns = in_photo(found, (100, 200), (50, 100), DetectorSpec(conventions=TORCHVISION, classes=90))
    assert columns.categories.tolist() == [79, 0]
    assert len(CATEGORIES) == 80
