"""F measures of boundary maps: the threshold best for the set (ODS) or for each image (OIS).

    probability ── ≥ t ──► thinned ──┐
                                     ├─ one-to-one matches within a distance ──► precision, recall, F
    label ───────────────────────────┘

P. Arbeláez et al., "Contour detection and hierarchical image segmentation", PAMI 2011; the distance is a
share of the image's diagonal. Non-maximum suppression, where wanted, comes before.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.metrics.boundary_matching import count_matches
from icm_jax.metrics.meter import check_same_shape, ratio
from icm_jax.metrics.thinning import thin

THRESHOLDS = np.arange(1, 100) / 100
MAX_DISTANCE_PASCAL = 0.0075  # share of the diagonal; BSDS500 has the same
MAX_DISTANCE_NYUD = 0.011
INTERPOLATION_STEPS = 100  # between neighbouring thresholds, as the BSDS benchmark does

Thinning = Literal["full", "early", "none"]  # of predictions; "early" stops where pyEdgeEval does


class BoundaryScore(NamedTuple):
    """F in [0, 1] and the threshold it was reached at; 0 where nothing was matched.

    `ods_f_interpolated` also looks between thresholds, on straight lines of precision and recall.
    """

    ods_f: float
    ods_threshold: float
    ods_f_interpolated: float
    ois_f: float


@dataclass(frozen=True)
class Boundary:
    """Pixels as rows (matched, in the labels, in the predictions): over the set and at each image's best.

    `max_distance` is a share of the image's diagonal. Below one pixel it allows no shift at all.
    """

    max_distance: float
    thinning: Thinning
    counts: np.ndarray  # int64 [3, 99], at each threshold
    best_counts: np.ndarray  # int64 [3], sums of each image's best threshold

    @classmethod
    def empty(cls, max_distance: float = MAX_DISTANCE_PASCAL, thinning: Thinning = "full") -> Self:
        counts = np.zeros((3, len(THRESHOLDS)), np.int64)
        return cls(max_distance, thinning, counts, np.zeros(3, np.int64))

    def update(self, probability: np.ndarray, label: np.ndarray) -> Self:
        """Adds images: probability of a boundary [b, h, w] in [0, 1], labels 0 or 1 and already thin."""
        check_same_shape(probability, label, "b h w")
        if not np.isin(label, (0, 1)).all():
            raise IcmError("boundary labels must be 0 or 1; binarise them")
        total = self
        for image, truth in zip(probability, label.astype(bool), strict=True):
            counts = self._of_image(image, truth)
            best = counts[:, int(f_measure(*counts).argmax())]
            total = total.merge(type(self)(self.max_distance, self.thinning, counts, best))
        return total

    def merge(self, other: Self) -> Self:
        ours, theirs = (self.max_distance, self.thinning), (other.max_distance, other.thinning)
        if ours != theirs:
            raise IcmError(
                f"boundary counters of (distance, thinning) {ours} and {theirs} can not be merged; "
                "use one setting"
            )
        return type(self)(*ours, self.counts + other.counts, self.best_counts + other.best_counts)

    def compute(self) -> BoundaryScore:
        f = f_measure(*self.counts)
        best = int(f.argmax())
        return BoundaryScore(
            ods_f=float(f[best]),
            ods_threshold=float(THRESHOLDS[best]),
            ods_f_interpolated=_best_between(self.counts),
            ois_f=float(f_measure(*self.best_counts)),
        )

    def _of_image(self, probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Rows matched, labels, predictions [3, 99] of one image."""
        distance = self.max_distance * float(np.hypot(*truth.shape))
        counts = np.empty((3, len(THRESHOLDS)), np.int64)
        for i, threshold in enumerate(THRESHOLDS):
            mask = probability >= threshold
            lines = mask if self.thinning == "none" else thin(mask, stop_early=self.thinning == "early")
            counts[:, i] = count_matches(lines, truth, distance), truth.sum(), lines.sum()
        return counts


def f_measure(matched: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall."""
    return _harmonic(ratio(matched, predicted), ratio(matched, actual))


def _harmonic(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    return ratio(2 * precision * recall, precision + recall)


def _best_between(counts: np.ndarray) -> float:
    """Largest F with precision and recall interpolated linearly between neighbouring thresholds."""
    precision, recall = ratio(counts[0], counts[2]), ratio(counts[0], counts[1])
    share = np.linspace(0, 1, INTERPOLATION_STEPS)[:, None]
    between = [values[:-1] + share * (values[1:] - values[:-1]) for values in (precision, recall)]
    return float(_harmonic(*between).max())
