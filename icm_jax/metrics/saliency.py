"""Saliency: thresholded maps against binary labels, in the three ways of the multi-task literature.

mIoU          per image, mean over images, best of 15 thresholds   (all-in-one ICM, MTLoRA)
maxF, β = 1   precision and recall per image, their means over images, best F of the same thresholds
maxF, β² = 0.3   precision and recall over all pixels of the set, best F of 19 thresholds
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy.special import expit

from icm_jax.errors import IcmError
from icm_jax.metrics.meter import IGNORE, check_same_shape, ratio

IMAGE_THRESHOLDS = np.linspace(0.2, 0.9, 15)  # salient where p > t
SET_THRESHOLDS = np.arange(1, 20) / 20  # salient where p >= t
BETA_SQUARED = 0.3
EPS_REFERENCE = 1e-12  # the reference's guard of precision, recall and F of an image


class SaliencyScore(NamedTuple):
    """All in [0, 1]; NaN without images.

    `max_f_beta03_double_sigmoid` is what MTLoRA and InvPT print as maxF: their counter passes probabilities
    through a sigmoid once more, which leaves only the thresholds within [0.5, 0.73].
    """

    miou: float
    max_f_beta1: float
    max_f_beta03: float
    max_f_beta03_double_sigmoid: float


@dataclass(frozen=True)
class Saliency:
    """Sums over images at each of their thresholds, pixel counts over the set at each of its own."""

    images: int
    image_sums: np.ndarray  # float64 [3, 15]: IoU, precision, recall
    set_counts: np.ndarray  # int64 [4, 19]: hits and predicted pixels, then both after a second sigmoid
    actual: int  # salient pixels of the labels

    @classmethod
    def empty(cls) -> Self:
        sums = np.zeros((3, len(IMAGE_THRESHOLDS)))
        return cls(0, sums, np.zeros((4, len(SET_THRESHOLDS)), np.int64), 0)

    def update(self, probability: np.ndarray, label: np.ndarray) -> Self:
        """Adds images: probability of being salient [b, h, w] in [0, 1]; labels 0, 1, or 255 to ignore."""
        check_same_shape(probability, label, "b h w")
        _check_values(probability, label)
        total = self
        for p, truth in zip(probability, label, strict=True):
            valid = truth != IGNORE
            total = total.merge(self._of_image(p[valid].astype(np.float64), truth[valid] == 1))
        return total

    def merge(self, other: Self) -> Self:
        return type(self)(
            self.images + other.images,
            self.image_sums + other.image_sums,
            self.set_counts + other.set_counts,
            self.actual + other.actual,
        )

    def compute(self) -> SaliencyScore:
        if not self.images:
            return SaliencyScore(*[float("nan")] * 4)
        iou, precision, recall = self.image_sums / self.images
        f_beta1 = 2 * precision * recall / (precision + recall + EPS_REFERENCE)
        hits, predicted, hits_double, predicted_double = self.set_counts
        return SaliencyScore(
            miou=float(iou.max()),
            max_f_beta1=float(f_beta1.max()),
            max_f_beta03=float(f_beta03(hits, predicted, self.actual).max()),
            max_f_beta03_double_sigmoid=float(f_beta03(hits_double, predicted_double, self.actual).max()),
        )

    @classmethod
    def _of_image(cls, p: np.ndarray, truth: np.ndarray) -> Self:
        """Counts of one image: p and truth of its valid pixels, [n]."""
        actual = int(truth.sum())
        passed = np.searchsorted(IMAGE_THRESHOLDS, p, side="left")
        hits, predicted = _tail_counts(passed, truth, IMAGE_THRESHOLDS)
        union = predicted + actual - hits
        iou = np.where(union == 0, 1.0, ratio(hits, union))  # 1 when both are empty
        image_sums = np.stack([iou, hits / (predicted + EPS_REFERENCE), hits / (actual + EPS_REFERENCE)])
        set_counts = [
            _tail_counts(np.searchsorted(SET_THRESHOLDS, scores, side="right"), truth, SET_THRESHOLDS)
            for scores in (p, expit(p))
        ]
        return cls(1, image_sums, np.concatenate(set_counts), actual)


def f_beta03(hits: np.ndarray, predicted: np.ndarray, actual: int) -> np.ndarray:
    """F of β² = 0.3 at each threshold, 0 where nothing was hit."""
    precision, recall = ratio(hits, predicted), ratio(hits, np.asarray(actual))
    return ratio((1 + BETA_SQUARED) * precision * recall, BETA_SQUARED * precision + recall)


def _tail_counts(passed: np.ndarray, truth: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Hits and predicted pixels [2, t] at each threshold, from how many thresholds every pixel passes."""
    size = len(thresholds) + 1
    histograms = np.stack([np.bincount(passed[truth], minlength=size), np.bincount(passed, minlength=size)])
    return histograms[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


def _check_values(probability: np.ndarray, label: np.ndarray) -> None:
    if probability.size and not (probability.min() >= 0 and probability.max() <= 1):
        raise IcmError(
            f"saliency has values from {probability.min():g} to {probability.max():g}, "
            "the limits are 0 and 1; pass the sigmoid of logits"
        )
    if not np.isin(label, (0, 1, IGNORE)).all():
        raise IcmError(
            f"saliency labels must be 0, 1 or {IGNORE}, found {np.setdiff1d(label, (0, 1, IGNORE))[0]}; "
            "binarise them"
        )
