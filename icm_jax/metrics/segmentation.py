"""Mean intersection over union of class maps: semantic segmentation and human parts."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.metrics.meter import IGNORE, check_same_shape, ratio


class SegmentationScore(NamedTuple):
    """All in per cent.

    `miou` is the mean over all classes, where one that never occurs counts 0: the rule of the multi-task
    literature. `miou_present_only` leaves out classes found neither in labels nor in predictions. `pixel_accuracy` is
    the share of pixels of the right class.
    """

    miou: float
    miou_present_only: float
    pixel_accuracy: float
    iou: np.ndarray  # [classes]


@dataclass(frozen=True)
class Segmentation:
    """Pixels of each class over the set: hits, false alarms and misses, int64 [classes]."""

    true_positives: np.ndarray
    false_positives: np.ndarray
    false_negatives: np.ndarray

    @classmethod
    def empty(cls, classes: int) -> Self:
        """No pixels yet. PASCAL has 21 classes, NYUD 40, human parts 7 with the background."""
        if classes < 1:
            raise IcmError(f"{classes} classes can not be counted; give at least 1")
        zeros = np.zeros(classes, np.int64)
        return cls(zeros, zeros, zeros)

    @property
    def classes(self) -> int:
        return len(self.true_positives)

    def update(self, prediction: np.ndarray, label: np.ndarray) -> Self:
        """Adds images: class indexes [b, h, w]; where the label is 255 nothing counts."""
        check_same_shape(prediction, label, "b h w")
        valid = label != IGNORE
        predicted = self._count(prediction[valid], "prediction")
        actual = self._count(label[valid], "label")
        hits = self._count(label[valid & (prediction == label)], "label")
        return self.merge(type(self)(hits, predicted - hits, actual - hits))

    def merge(self, other: Self) -> Self:
        if other.classes != self.classes:
            raise IcmError(f"counters of {self.classes} and {other.classes} classes can not be merged")
        return type(self)(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )

    def compute(self) -> SegmentationScore:
        hits = self.true_positives.sum()
        union = self.true_positives + self.false_positives + self.false_negatives
        iou = 100 * ratio(self.true_positives, union)
        present = iou[union > 0]
        return SegmentationScore(
            miou=float(iou.mean()),
            miou_present_only=float(present.mean()) if present.size else float("nan"),
            pixel_accuracy=100 * float(ratio(hits, hits + self.false_negatives.sum())),
            iou=iou,
        )

    def _count(self, indexes: np.ndarray, name: str) -> np.ndarray:
        """How often each class occurs."""
        if indexes.size and not 0 <= indexes.min() <= indexes.max() < self.classes:
            outside = indexes.max() if indexes.max() >= self.classes else indexes.min()
            raise IcmError(
                f"{name} has class {outside}, the limit is {self.classes - 1}; "
                f"check the number of classes, and give pixels to be left out the label {IGNORE}"
            )
        return np.bincount(indexes.astype(np.int64), minlength=self.classes)
