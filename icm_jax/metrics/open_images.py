"""Average precision of boxes as the Open Images challenge counts it: at IoU 0.5, with groups and verified labels.

    detection ── class verified in the image? no: not counted
              ├─ IoU ≥ 0.5 with a box of its class, not taken yet: hit     (taken already, or below: false alarm)
              └─ else ≥ 0.5 of it inside a group of its class: all of these count once, as a hit with the best score

A. Kuznetsova et al., "The Open Images Dataset V4", IJCV 2020. A group that no detection lies in is a miss. AP is the
area below the precision envelope (all points), its mean runs over classes that have a box.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from icm_jax.errors import IcmError

LEAST_OVERLAP = 0.5

Boxes = Float[np.ndarray, "n 4"]  # x0, y0, x1, y1 in any unit


class OpenImagesTruth(NamedTuple):
    """What is known of an image. `verified` are classes that people found to be there or not to be there."""

    boxes: Boxes
    categories: Int[np.ndarray, "n"]
    is_group: Bool[np.ndarray, "n"]
    verified: Int[np.ndarray, "m"]


class OpenImagesScore(NamedTuple):
    """In [0, 1]; NaN without boxes. `by_category` holds the AP of each class that has a box."""

    ap50: float
    by_category: dict[int, float]


def _none(dtype: type) -> np.ndarray:
    return np.zeros(0, dtype)


@dataclass(frozen=True)
class OpenImages:
    """Detections that count, with their classes, scores and whether they hit; and the classes of all boxes."""

    categories: np.ndarray = field(default_factory=lambda: _none(np.int64))
    scores: np.ndarray = field(default_factory=lambda: _none(np.float64))
    hits: np.ndarray = field(default_factory=lambda: _none(np.int64))
    truths: np.ndarray = field(default_factory=lambda: _none(np.int64))

    @classmethod
    def empty(cls) -> Self:
        return cls()

    def update(
        self,
        boxes: Boxes,
        scores: Float[np.ndarray, "d"],
        categories: Int[np.ndarray, "d"],
        truth: OpenImagesTruth,
    ) -> Self:
        """Adds an image: its detections in any order, boxes in the unit of the truth's."""
        if not len(boxes) == len(scores) == len(categories):
            raise IcmError(
                f"{len(boxes)} boxes, {len(scores)} scores and {len(categories)} classes do not match; give one each"
            )
        total = self.merge(type(self)(truths=np.asarray(truth.categories, np.int64)))
        evaluated = np.union1d(truth.verified, truth.categories)
        for category in np.intersect1d(categories, evaluated).tolist():
            ours, theirs = categories == category, truth.categories == category
            order = np.argsort(-scores[ours], kind="stable")
            found = _match(
                boxes[ours][order], scores[ours][order], truth.boxes[theirs], truth.is_group[theirs]
            )
            total = total.merge(type(self)(np.full(len(found[0]), category), *found))
        return total

    def merge(self, other: Self) -> Self:
        return type(self)(
            np.concatenate([self.categories, other.categories]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.hits, other.hits]),
            np.concatenate([self.truths, other.truths]),
        )

    def compute(self) -> OpenImagesScore:
        by_category = {}
        for category in np.unique(self.truths).tolist():
            ours = self.categories == category
            count = int((self.truths == category).sum())
            by_category[category] = average_precision(self.scores[ours], self.hits[ours], count)
        mean = float(np.mean(list(by_category.values()))) if by_category else float("nan")
        return OpenImagesScore(mean, by_category)


def average_precision(scores: Float[np.ndarray, "n"], hits: Int[np.ndarray, "n"], count: int) -> float:
    """Area below the precision envelope, of `count` things to find.

    Of equal scores false alarms come first, so that the order of images does not matter.
    """
    order = np.lexsort((hits, -scores))
    found = np.cumsum(hits[order])
    recall = np.concatenate([[0], found / count])
    precision = found / np.arange(1, len(found) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * envelope).sum())


def _match(
    boxes: Boxes, scores: np.ndarray, truths: Boxes, is_group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and hits of the detections of one class that count, which come by falling score."""
    shared = _intersections(boxes, truths)
    areas, truth_areas = _areas(boxes)[:, None], _areas(truths)[None]
    union = areas + truth_areas - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)[:, ~is_group]
    inside = np.divide(shared, areas, out=np.zeros_like(shared), where=areas > 0)[:, is_group]
    hits = np.zeros(len(boxes), np.int64)
    if iou.shape[1]:
        # A detection stands for its best box alone; the first one there, and so the best, hits it.
        best = iou.argmax(1)
        near = np.flatnonzero(iou.max(1) >= LEAST_OVERLAP)
        hits[near[np.unique(best[near], return_index=True)[1]]] = 1
    if not inside.shape[1]:
        return scores, hits
    group = inside.argmax(1)
    grouped = np.flatnonzero((hits == 0) & (inside.max(1) >= LEAST_OVERLAP))
    firsts = grouped[np.unique(group[grouped], return_index=True)[1]]
    single = np.ones(len(boxes), bool)
    single[grouped] = False
    return (
        np.concatenate([scores[single], scores[firsts]]),
        np.concatenate([hits[single], np.ones(len(firsts), np.int64)]),
    )


def _areas(boxes: Boxes) -> np.ndarray:
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def _intersections(boxes: Boxes, others: Boxes) -> np.ndarray:
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=-1)
