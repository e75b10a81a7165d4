"""Bits per pixel of whole files over a set of images."""

from dataclasses import dataclass
from typing import NamedTuple, Self

from icm_jax.errors import IcmError


class RateScore(NamedTuple):
    """Equal when all images are of one size; NaN without images.

    `bpp_pixels` is Σ bits / Σ pixels (CompressAI-Vision), `bpp_images` the mean of each image's bpp
    (CompressAI, TransTIC).
    """

    bpp_pixels: float
    bpp_images: float


@dataclass(frozen=True)
class Rate:
    """Bits and pixels of the set, and the sum of each image's bpp."""

    images: int = 0
    bits: int = 0
    pixels: int = 0
    bpp_sum: float = 0.0

    @classmethod
    def empty(cls) -> Self:
        return cls()

    def update(self, file_bytes: int, height: int, width: int) -> Self:
        """Adds an image: the bytes of its file, header included, and its size before any padding."""
        if height < 1 or width < 1 or file_bytes < 0:
            raise IcmError(
                f"a file of {file_bytes} bytes for an image of {width}x{height} has no rate; "
                "sides start at 1 pixel, files at 0 bytes"
            )
        bits, pixels = 8 * file_bytes, height * width
        return self.merge(type(self)(1, bits, pixels, bits / pixels))

    def merge(self, other: Self) -> Self:
        return type(self)(
            self.images + other.images,
            self.bits + other.bits,
            self.pixels + other.pixels,
            self.bpp_sum + other.bpp_sum,
        )

    def compute(self) -> RateScore:
        if not self.images:
            return RateScore(float("nan"), float("nan"))
        return RateScore(self.bits / self.pixels, self.bpp_sum / self.images)
