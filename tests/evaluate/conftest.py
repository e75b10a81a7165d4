"""A stand-in for a learned codec: WebP behind a header, with a made-up bit map."""

from dataclasses import dataclass

import numpy as np
import pytest

from icm_jax.data.samples import sample_images
from icm_jax.evaluate.anchors import ANCHORS

HEADER = b"ICM-TEST"
WEBP_QUALITIES = {1: 5, 2: 30, 3: 70}


@dataclass(frozen=True)
class FakeEstimate:
    bits: float
    bpp: float
    map: np.ndarray


@dataclass
class FakeCodec:
    """The methods of `icm_jax.codec.Codec` that the evaluation uses; counts its calls."""

    quality: int
    name: str = "fake"
    hash: str = "f00d"
    encoded: int = 0

    def compress(self, image: np.ndarray) -> bytes:
        self.encoded += 1
        return HEADER + ANCHORS["webp"].encode(image, WEBP_QUALITIES[self.quality])

    def decompress(self, data: bytes) -> np.ndarray:
        assert data.startswith(HEADER)
        return ANCHORS["webp"].decode(data[len(HEADER) :])

    def estimated_bits(self, image: np.ndarray) -> FakeEstimate:
        """More bits where the image is rougher."""
        height, width = image.shape[:2]
        padded = np.pad(image, ((0, -height % 16), (0, -width % 16), (0, 0)), mode="edge")
        blocks = padded.reshape(padded.shape[0] // 16, 16, padded.shape[1] // 16, 16, 3)
        bit_map = blocks.std(axis=(1, 3, 4)).astype(np.float32) * self.quality
        bits = float(bit_map.sum())
        return FakeEstimate(bits, bits / (height * width), bit_map)


@pytest.fixture(scope="session")
def fake_codec_type() -> type[FakeCodec]:
    return FakeCodec


@pytest.fixture
def fake_codecs() -> list[FakeCodec]:
    return [FakeCodec(quality) for quality in WEBP_QUALITIES]


@pytest.fixture(scope="session")
def small_photos() -> list[np.ndarray]:
    """Cuts of the embedded photos, of two sizes, one of them odd."""
    cuts = [sample.image[100:228, 100:260] for sample in sample_images()]
    return [cuts[0], cuts[1], np.ascontiguousarray(cuts[2][:97, :111])]
