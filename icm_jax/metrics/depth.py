"""Errors of depth maps: root mean squares, and errors over the true depth."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from icm_jax.metrics.meter import IGNORE, check_same_shape

MIN_DEPTH_METRES = 1e-9  # the reference lifts predictions to this, so that their logarithm exists


class DepthScore(NamedTuple):
    """`rmse` in metres over all valid pixels of the set; NaN without any.

    `log_rmse` is that of natural logarithms. `rmse_image_mean` is the mean of the RMSEs of single images,
    which older work prints: images with few valid pixels weigh as much as others.
    `abs_rel` and `sq_rel` are means of |error| / depth and of error² / depth (metres).
    """

    rmse: float
    log_rmse: float
    rmse_image_mean: float
    abs_rel: float
    sq_rel: float


@dataclass(frozen=True)
class Depth:
    """Sums of errors over valid pixels, and of the RMSE over images that have any."""

    pixels: int = 0
    squares: float = 0.0
    log_squares: float = 0.0
    images: int = 0
    image_rmse: float = 0.0
    relative: float = 0.0
    squares_relative: float = 0.0

    @classmethod
    def empty(cls) -> Self:
        return cls()

    def update(self, prediction: np.ndarray, label: np.ndarray) -> Self:
        """Adds images: metres [b, h, w]; where the label is 0 or 255 nothing counts."""
        check_same_shape(prediction, label, "b h w")
        total = self
        for predicted, truth in zip(prediction, label, strict=True):
            valid = (truth != IGNORE) & (truth != 0)
            d_hat = np.maximum(predicted[valid].astype(np.float64), MIN_DEPTH_METRES)
            d = truth[valid].astype(np.float64)
            error = np.abs(d_hat - d)
            squares = float((error**2).sum())
            log_squares = float(((np.log(d_hat) - np.log(d)) ** 2).sum())
            if d.size:
                rmse = float(np.sqrt(squares / d.size))
                relative = (float((error / d).sum()), float((error**2 / d).sum()))
                total = total.merge(type(self)(d.size, squares, log_squares, 1, rmse, *relative))
        return total

    def merge(self, other: Self) -> Self:
        return type(self)(
            self.pixels + other.pixels,
            self.squares + other.squares,
            self.log_squares + other.log_squares,
            self.images + other.images,
            self.image_rmse + other.image_rmse,
            self.relative + other.relative,
            self.squares_relative + other.squares_relative,
        )

    def compute(self) -> DepthScore:
        if not self.pixels:
            return DepthScore(*[float("nan")] * 5)
        return DepthScore(
            rmse=float(np.sqrt(self.squares / self.pixels)),
            log_rmse=float(np.sqrt(self.log_squares / self.pixels)),
            rmse_image_mean=self.image_rmse / self.images,
            abs_rel=self.relative / self.pixels,
            sq_rel=self.squares_relative / self.pixels,
        )
