"""Angles between predicted and true surface normals."""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from icm_jax.metrics.meter import IGNORE, check_same_shape

SHARES_BELOW_DEGREES = (11.25, 22.5, 30.0)
EPS_REFERENCE = 1e-12  # the shortest prediction that is divided by its length


class NormalsScore(NamedTuple):
    """Over all valid pixels of the set; NaN without any.

    `mean` and `true_rmse` in degrees, shares in per cent. The reference code prints the mean as its "rmse".
    """

    mean: float
    true_rmse: float
    share_11_25: float
    share_22_5: float
    share_30: float


@dataclass(frozen=True)
class Normals:
    """Sums of angles in degrees and of their squares, and how many lie below each limit."""

    pixels: int = 0
    degrees: float = 0.0
    degrees_squared: float = 0.0
    below: np.ndarray = field(default_factory=lambda: np.zeros(len(SHARES_BELOW_DEGREES), np.int64))

    @classmethod
    def empty(cls) -> Self:
        return cls()

    def update(self, prediction: np.ndarray, label: np.ndarray) -> Self:
        """Adds images: vectors [b, h, w, 3]; predictions of any length, labels of unit length or 255."""
        check_same_shape(prediction, label, "b h w 3")
        valid = (label != IGNORE).all(axis=-1)
        angle = angles(prediction[valid], label[valid])
        below = np.array([(angle < limit).sum() for limit in SHARES_BELOW_DEGREES])
        return self.merge(type(self)(angle.size, float(angle.sum()), float((angle**2).sum()), below))

    def merge(self, other: Self) -> Self:
        return type(self)(
            self.pixels + other.pixels,
            self.degrees + other.degrees,
            self.degrees_squared + other.degrees_squared,
            self.below + other.below,
        )

    def compute(self) -> NormalsScore:
        if not self.pixels:
            return NormalsScore(*[float("nan")] * 5)
        return NormalsScore(
            self.degrees / self.pixels,
            float(np.sqrt(self.degrees_squared / self.pixels)),
            *(100 * count / self.pixels for count in self.below.tolist()),
        )


def angles(prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Degrees between vectors [n, 3] in float64; labels are taken to be of unit length."""
    prediction, label = prediction.astype(np.float64), label.astype(np.float64)
    length = np.maximum(np.linalg.norm(prediction, axis=-1, keepdims=True), EPS_REFERENCE)
    cosine = (prediction / length * label).sum(axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
