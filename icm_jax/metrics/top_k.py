"""Top-1 and top-5 accuracy of a classifier."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from icm_jax.errors import IcmError


class TopKScore(NamedTuple):
    """Per cent; NaN without images."""

    top1: float
    top5: float


@dataclass(frozen=True)
class TopK:
    """Images, and those whose class is the first or among the first five."""

    images: int = 0
    first: int = 0
    first_five: int = 0

    @classmethod
    def empty(cls) -> Self:
        return cls()

    def update(self, logits: np.ndarray, label: np.ndarray) -> Self:
        """Adds images: logits [b, classes], class indexes [b]. Of equal logits the lower index is first."""
        if logits.ndim != 2 or label.shape != logits.shape[:1]:
            raise IcmError(
                f"logits {list(logits.shape)} and label {list(label.shape)} must be [b, classes] and [b]; "
                "flatten crops into the batch"
            )
        classes = logits.shape[1]
        if label.size and not 0 <= label.min() <= label.max() < classes:
            raise IcmError(
                f"labels run from {label.min()} to {label.max()}, the limits are 0 and {classes - 1}; "
                "check that labels and classifier use the same list of classes"
            )
        own = logits[np.arange(len(label)), label][:, None]
        is_tied_before = (logits == own) & (np.arange(classes) < label[:, None])
        rank = ((logits > own) | is_tied_before).sum(axis=1)
        is_ranked = ~np.isnan(logits).any(axis=1)  # comparisons with NaN say nothing: no hit
        return self.merge(type(self)(len(label), *(int((is_ranked & (rank < k)).sum()) for k in (1, 5))))

    def merge(self, other: Self) -> Self:
        return type(self)(
            self.images + other.images, self.first + other.first, self.first_five + other.first_five
        )

    def compute(self) -> TopKScore:
        if not self.images:
            return TopKScore(float("nan"), float("nan"))
        return TopKScore(100 * self.first / self.images, 100 * self.first_five / self.images)
