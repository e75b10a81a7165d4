"""What all counters promise: shares merge into the whole, nothing given is changed, empty ones say NaN or refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.metrics import Boundary, Depth, Normals, Rate, Saliency, Segmentation, TopK, merge_all

IMAGES = 6


def random() -> np.random.Generator:
    return np.random.default_rng(5)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def batches() -> dict[str, tuple[Callable[[], Any], np.ndarray, np.ndarray]]:
    """For each metric an empty counter, predictions and labels."""
    rng, shape = random(), (IMAGES, 9, 11)
    classes = rng.integers(0, 5, shape)
    ignored = rng.random(shape) < 0.2
    mask = rng.integers(0, 2, shape)
    return {
        "segmentation": (
            lambda: Segmentation.empty(5),
            rng.integers(0, 5, shape),
            np.where(ignored, 255, classes),
        ),
        "saliency": (Saliency.empty, rng.random(shape), np.where(ignored, 255, mask)),
        "depth": (Depth.empty, rng.normal(2, 1, shape), np.where(ignored, 255.0, rng.uniform(1, 9, shape))),
        "normals": (
            Normals.empty,
            rng.normal(size=(*shape, 3)),
            np.where(ignored[..., None], 255.0, unit(rng.normal(size=(*shape, 3)))),
        ),
        "boundary": (lambda: Boundary.empty(0.1), rng.random(shape), mask),
        "top_k": (TopK.empty, rng.normal(size=(IMAGES, 12)), rng.integers(0, 12, IMAGES)),
    }


METRICS = list(batches())


@pytest.mark.parametrize("name", METRICS)
def test_shares_merge_into_the_whole(name: str):
    empty, prediction, label = batches()[name]
    whole = empty().update(prediction, label)
    shares = [
        empty().update(prediction[part], label[part]) for part in (slice(0, 1), slice(1, 4), slice(4, None))
    ]
    for merged in (merge_all(shares), merge_all([*shares[::-1], empty()])):
        for field, value in vars(whole).items():
            other = vars(merged)[field]
            if np.asarray(value).dtype.kind == "f" and field != "max_distance":
                np.testing.assert_allclose(other, value, rtol=1e-13)
            else:
                np.testing.assert_array_equal(other, value)
                assert np.asarray(other).dtype == np.asarray(value).dtype


@pytest.mark.parametrize("name", METRICS)
def test_update_changes_neither_counter_nor_inputs(name: str):
    empty, prediction, label = batches()[name]
    counter = empty().update(prediction, label)
    before = {field: np.copy(value) for field, value in vars(counter).items()}
    inputs = prediction.copy(), label.copy()
    counter.update(prediction, label).compute()
    for field, value in vars(counter).items():
        np.testing.assert_array_equal(value, before[field])
    np.testing.assert_array_equal(prediction, inputs[0])
    np.testing.assert_array_equal(label, inputs[1])


@pytest.mark.parametrize("name", [name for name in METRICS if name != "top_k"])
def test_other_shapes_are_refused(name: str):
    empty, prediction, label = batches()[name]
    with pytest.raises(IcmError, match="resize the prediction"):
        empty().update(prediction[:, :-1], label)
    with pytest.raises(IcmError, match="keep the batch axis"):
        empty().update(prediction[0], label[0])


def test_counters_without_images():
    assert np.isnan([*Saliency.empty().compute(), *Depth.empty().compute(), *Normals.empty().compute()]).all()
    assert np.isnan([*TopK.empty().compute(), *Rate.empty().compute()]).all()
    assert Boundary.empty().compute().ods_f == 0
    score = Segmentation.empty(3).compute()
    assert score.miou == 0
    assert np.isnan(score.miou_present_only)
    with pytest.raises(IcmError, match="0 counters"):
        merge_all([])


def test_images_without_labels_count_nothing():
    ignored = np.full((1, 4, 4), 255)
    assert Segmentation.empty(2).update(np.ones((1, 4, 4), int), ignored).false_positives.sum() == 0
    assert Depth.empty().update(np.ones((1, 4, 4)), ignored.astype(float)) == Depth.empty()
    assert Normals.empty().update(np.ones((1, 4, 4, 3)), np.full((1, 4, 4, 3), 255.0)).pixels == 0
