"""Boundary measure: thinning, matching by exhaustion, and the F measures."""

import itertools

import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.metrics import Boundary
from icm_jax.metrics.boundary_matching import count_matches
from icm_jax.metrics.thinning import thin


def most_pairs(prediction: np.ndarray, label: np.ndarray, max_distance: float) -> int:
    """The largest one-to-one matching, by trying every assignment of the smaller set."""
    a, b = np.argwhere(prediction), np.argwhere(label)
    if len(a) > len(b):
        a, b = b, a
    near = np.linalg.norm(a[:, None] - b[None], axis=-1) <= max_distance
    return max(
        sum(near[i, j] for i, j in enumerate(order))
        for order in itertools.permutations(range(len(b)), len(a))
    )


@pytest.mark.parametrize("max_distance", [0.7, 1.0, 1.5, 2.3])
def test_matching_is_the_largest(max_distance: float):
    rng = np.random.default_rng(int(10 * max_distance))
    for _ in range(20):
        prediction, label = (rng.random((2, 4, 4)) < 0.35) & (
            np.cumsum(np.ones((2, 16)), 1).reshape(2, 4, 4) < 14
        )
        prediction[np.nonzero(prediction)[0][5:], np.nonzero(prediction)[1][5:]] = False
        expected = most_pairs(prediction, label, max_distance)
        assert count_matches(prediction, label, max_distance) == expected
        assert count_matches(label, prediction, max_distance) == expected


def test_pixels_beyond_the_border_match_nothing():
    corners = np.zeros((3, 3), bool)
    corners[0, 0] = True
    assert count_matches(corners, corners[::-1, ::-1], 2.9) == 1
    assert count_matches(corners, corners[::-1, ::-1], 2.8) == 0
    assert count_matches(corners, np.zeros((3, 3), bool), 9.0) == 0


def test_thinning_leaves_a_line_of_a_bar():
    bar = np.zeros((9, 30), bool)
    bar[2:7, 3:27] = True
    line = thin(bar)
    assert (line.sum(axis=0) <= 1).all()
    assert line[4].sum() > 15
    assert not (line & ~bar).any()
    np.testing.assert_array_equal(thin(line), line)


def test_thinning_keeps_a_ring_closed_and_a_full_image_alive():
    y, x = np.mgrid[-10:11, -10:11]
    ring = thin((np.hypot(y, x) > 5) & (np.hypot(y, x) < 9))
    inside = np.zeros_like(ring)
    inside[10, 10] = True
    for _ in range(60):  # flood from the centre, through sides of pixels only
        grown = inside.copy()
        for axis, step in itertools.product((0, 1), (-1, 1)):
            grown |= np.roll(inside, step, axis)
        inside = grown & ~ring
    assert not inside[0].any()
    assert thin(np.ones((6, 8), bool)).sum() >= 1
    assert thin(np.zeros((6, 8), bool)).sum() == 0


def test_thinning_is_that_of_scikit_image():
    morphology = pytest.importorskip("skimage.morphology")
    rng = np.random.default_rng(2)
    for _ in range(20):
        noise = rng.random(rng.integers(1, 40, 2))
        blob = noise > rng.uniform(0.1, 0.6)
        np.testing.assert_array_equal(thin(blob), morphology.thin(blob))


def test_a_shift_within_the_distance_is_forgiven():
    label = np.zeros((1, 60, 80), int)
    label[0, 30, 5:75] = 1
    shifted = np.roll(label, 2, axis=1) * 0.7
    assert Boundary.empty(0.02).update(shifted, label).compute().ods_f == 1  # 2 of 100 pixels
    assert Boundary.empty(0.019).update(shifted, label).compute().ods_f == 0


def test_an_image_without_boundaries_costs_precision():
    label = np.zeros((2, 20, 20), int)
    label[0, 10] = 1
    prediction = np.zeros((2, 20, 20))
    prediction[0, 10] = 0.9
    prediction[1, 5] = 0.4
    score = Boundary.empty().update(prediction, label).compute()
    assert score.ods_f == 1
    assert score.ods_threshold == pytest.approx(0.41)
    both = Boundary.empty().update(np.minimum(prediction, 0.4), label).compute()
    assert both.ods_f == pytest.approx(2 * 0.5 / 1.5)
    assert both.ois_f == both.ods_f


def test_settings_and_labels_are_checked():
    with pytest.raises(IcmError, match=r"0\.0075.*0\.011"):
        Boundary.empty(0.0075).merge(Boundary.empty(0.011))
    with pytest.raises(IcmError, match="binarise"):
        Boundary.empty().update(np.zeros((1, 2, 2)), np.full((1, 2, 2), 255))
