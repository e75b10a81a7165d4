"""Suppression against its definition."""

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.recognizers.detection.boxes import iou
from icm_jax.recognizers.detection.nms import best_survivors


def greedy(boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, threshold: float) -> list[int]:
    """Sorted by score, a box stays unless one that stayed overlaps it."""
    overlap = np.asarray(iou(jnp.asarray(boxes)[:, None], jnp.asarray(boxes)[None]))
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if np.isfinite(scores[i]) and all(overlap[i, j] <= threshold or groups[i] != groups[j] for j in kept):
            kept.append(int(i))
    return kept


def test_survivors_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 30, (80, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 30, (80, 2))], 1).astype(np.float32)
    scores = np.round(rng.normal(size=80), 1).astype(np.float32)  # with ties
    scores[::9] = -np.inf
    groups = rng.integers(0, 3, 80)
    expected = greedy(boxes, scores, groups, 0.4)
    assert 20 < len(expected) < 70
    for count in (10, 80):
        index, found = jax.jit(best_survivors, static_argnums=(3, 4))(boxes, scores, groups, 0.4, count)
        assert np.asarray(index)[np.asarray(found)].tolist() == expected[:count]


def test_boxes_without_area_overlap_nothing():
    boxes = jnp.zeros((3, 4))
    index, found = best_survivors(boxes, jnp.array([1.0, 3.0, 2.0]), jnp.zeros(3, int), 0.5, 4)
    assert index[:3].tolist() == [1, 2, 0]
    assert found.tolist() == [True, True, True, False]
