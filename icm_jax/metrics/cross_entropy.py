"""Cross-entropy of a classifier: how far the accuracy is from changing, where top-1 only says that it did."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy.special import logsumexp

from icm_jax.errors import IcmError


class CrossEntropyScore(NamedTuple):
    """Nats an image; NaN without images."""

    nats: float


@dataclass(frozen=True)
class CrossEntropy:
    """Images, and the sum of −ln p of their classes."""

    images: int = 0
    nats: float = 0.0

    @classmethod
    def empty(cls) -> Self:
        return cls()

    def update(self, logits: np.ndarray, label: np.ndarray) -> Self:
        """Adds images: logits [b, classes], class indexes [b]."""
        if logits.ndim != 2 or label.shape != logits.shape[:1]:
            raise IcmError(
                f"logits {list(logits.shape)} and label {list(label.shape)} must be [b, classes] and [b]; "
                "flatten crops into the batch"
            )
        total = self
        for row, index in zip(logits.astype(np.float64), label, strict=True):
            total = total.merge(type(self)(1, float(logsumexp(row) - row[index])))
        return total

    def merge(self, other: Self) -> Self:
        return type(self)(self.images + other.images, self.nats + other.nats)

    def compute(self) -> CrossEntropyScore:
        return CrossEntropyScore(self.nats / self.images if self.images else float("nan"))
