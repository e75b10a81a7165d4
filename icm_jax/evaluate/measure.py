"""One image through one codec: the bytes of its file, what was decoded from them, how long it took.

image --compress--> bytes (--file--> bytes) --decompress--> decoded --> psnr, ms_ssim
"""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from icm_jax.data.image_io import write_bytes
from icm_jax.evaluate.image_quality import ms_ssim, psnr


class ImageCodec(Protocol):
    """What can be measured: `icm_jax.codec.Codec`, or an anchor at one quality. Images: uint8 [H, W, 3]."""

    @property
    def name(self) -> str: ...

    @property
    def quality(self) -> int: ...

    @property
    def hash(self) -> str: ...

    def compress(self, image: np.ndarray) -> bytes: ...

    def decompress(self, data: bytes) -> np.ndarray: ...


class Estimate(Protocol):
    """What the likelihoods sum to: total bits, bits a pixel, bits at each latent position [H/16, W/16]."""

    @property
    def bits(self) -> float: ...

    @property
    def bpp(self) -> float: ...

    @property
    def map(self) -> np.ndarray: ...


@runtime_checkable
class Estimator(Protocol):
    """A learned codec also knows how many bits it expects to spend."""

    def estimated_bits(self, image: np.ndarray) -> Estimate: ...


@dataclass(frozen=True)
class Scores:
    """`bpp` is 8 * bytes / (height * width) of the file; `estimated_bpp` is None for a classical codec."""

    height: int
    width: int
    bytes: int
    bpp: float
    estimated_bpp: float | None
    psnr: float
    ms_ssim: float
    encode_seconds: float
    decode_seconds: float


class Coded(NamedTuple):
    """The file, the image decoded from it, and how long either took."""

    data: bytes
    decoded: np.ndarray
    encode_seconds: float
    decode_seconds: float


class Measured(NamedTuple):
    """The file, the image decoded from it and the scores."""

    data: bytes
    decoded: np.ndarray
    scores: Scores


def code(codec: ImageCodec, image: np.ndarray, file: Path | None = None) -> Coded:
    """Compress and decompress one image; with `file` the bytes go through the disk.

    Times include whatever the codec compiles on its first call at a size: call `warm_up` before when that is
    not wanted.
    """
    start = time.perf_counter()
    data = codec.compress(image)
    encode_seconds = time.perf_counter() - start
    if file is not None:
        write_bytes(file, data)
        data = file.read_bytes()
    start = time.perf_counter()
    decoded = codec.decompress(data)
    return Coded(data, decoded, encode_seconds, time.perf_counter() - start)


def measure(codec: ImageCodec, image: np.ndarray, file: Path | None = None) -> Measured:
    """Code one image and compare what was decoded with it; see `code`."""
    coded = code(codec, image, file)
    height, width = image.shape[:2]
    scores = Scores(
        height=height,
        width=width,
        bytes=len(coded.data),
        bpp=8 * len(coded.data) / (height * width),
        estimated_bpp=estimated_bpp(codec, image),
        psnr=psnr(image, coded.decoded),
        ms_ssim=ms_ssim(image, coded.decoded),
        encode_seconds=coded.encode_seconds,
        decode_seconds=coded.decode_seconds,
    )
    return Measured(coded.data, coded.decoded, scores)


def estimated_bpp(codec: ImageCodec, image: np.ndarray) -> float | None:
    """Bits a pixel by the likelihoods of a learned codec; None for a classical one."""
    return float(codec.estimated_bits(image).bpp) if isinstance(codec, Estimator) else None


def json_scores(scores: Scores) -> dict[str, float | int | None]:
    """The scores by name; an infinite PSNR becomes None, for JSON has no infinity."""
    return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in asdict(scores).items()}


def warm_up(codec: ImageCodec, image: np.ndarray) -> None:
    """Run the codec once, so that compilation for this image size does not count as coding time."""
    codec.decompress(codec.compress(image))
