"""Classical codecs to measure against, as values: a name, its qualities, image -> bytes -> image.

Every file is self-contained: `decode` needs the bytes alone. Qualities run from the smallest file to the
largest, so that `encode_to_size` can bisect them whatever their sign means to the codec.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import NamedTuple

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.evaluate.ffmpeg_intra import HEVC, VVC
from icm_jax.evaluate.reference_software import HM, VTM
from icm_jax.evaluate.still_images import (
    AVIF_SPEED,
    avif_encoder,
    decode_jxl,
    encode_jpeg,
    encode_jxl,
    encode_webp,
    imagecodecs,
    pillow_decode,
    pillow_feature,
)

QPS, VVC_QPS = tuple(range(51, 9, -1)), tuple(range(63, 9, -1))  # quantisation parameters of HEVC and VVC
AT_RATE = "-at-rate"  # behind the name of a codec that searches its quality for a rate


@dataclass(frozen=True)
class Anchor:
    """One classical codec; images are uint8 [H, W, 3].

    `qualities` are all settings from the smallest file to the largest, `sweep` the few that draw a curve.
    `version` is that of the software; it is part of every result, for other versions write other bytes.
    """

    name: str
    label: str
    extension: str
    version: Callable[[], str]
    qualities: tuple[int, ...]
    sweep: tuple[int, ...]
    encode: Callable[[np.ndarray, int], bytes]
    decode: Callable[[bytes], np.ndarray]
    require: Callable[[], object]

    def at(self, quality: int) -> "AnchorAt":
        """This codec at one quality, with the methods of an `icm_jax` codec."""
        return AnchorAt(self, quality)


@dataclass(frozen=True)
class AnchorAt:
    """An anchor fixed at one quality: compress and decompress as `icm_jax.codec.Codec` has them."""

    anchor: Anchor
    quality: int

    @property
    def name(self) -> str:
        return self.anchor.name

    @property
    def hash(self) -> str:
        """Software and version: other encoder versions write other bytes."""
        return self.anchor.version()

    def compress(self, image: np.ndarray) -> bytes:
        return self.anchor.encode(image, self.quality)

    def decompress(self, data: bytes) -> np.ndarray:
        return self.anchor.decode(data)


@dataclass(frozen=True)
class AnchorAtRate:
    """An anchor that gives every image its largest file of at most `bpp` bits a pixel, or its smallest at all."""

    anchor: Anchor
    bpp: float

    @property
    def name(self) -> str:
        return f"{self.anchor.name}{AT_RATE}"

    @property
    def quality(self) -> int:
        """Bits that a thousand pixels may take."""
        return round(1000 * self.bpp)

    @property
    def hash(self) -> str:
        return self.anchor.version()

    def compress(self, image: np.ndarray) -> bytes:
        target = int(self.bpp * image.shape[0] * image.shape[1] / 8)
        return encode_to_size(self.anchor, image, target).data

    def decompress(self, data: bytes) -> np.ndarray:
        return self.anchor.decode(data)


class SizedFile(NamedTuple):
    """A file made for a byte target. `fits` is False when even the smallest quality is above the target."""

    data: bytes
    quality: int
    fits: bool


def get_anchor(name: str) -> Anchor:
    """The anchor of this name; raises IcmError for an unknown name or a codec that cannot run here."""
    if name not in ANCHORS:
        raise IcmError(f"unknown anchor {name!r}; choose from {', '.join(ANCHORS)}")
    ANCHORS[name].require()
    return ANCHORS[name]


def available() -> list[str]:
    """Names of the anchors that can run in this installation, in the order of ANCHORS."""
    return [name for name in ANCHORS if _runs(ANCHORS[name])]


def encode_to_size(anchor: Anchor, image: np.ndarray, target_bytes: int) -> SizedFile:
    """The largest file of this codec that is not above `target_bytes`.

    Bisects the qualities, so it takes about log2(len(qualities)) encodings and trusts that size grows with
    quality; where an encoder breaks that rule the result still fits but a neighbour may fit better.
    When nothing fits the smallest quality is returned with `fits=False`.
    """
    low, high = 0, len(anchor.qualities) - 1
    best: SizedFile | None = None
    while low <= high:
        middle = (low + high) // 2
        data = anchor.encode(image, anchor.qualities[middle])
        if len(data) <= target_bytes:
            best, low = SizedFile(data, anchor.qualities[middle], fits=True), middle + 1
        else:
            high = middle - 1
    return best or SizedFile(anchor.encode(image, anchor.qualities[0]), anchor.qualities[0], fits=False)


def remembering(anchor: Anchor, image: np.ndarray) -> Anchor:
    """The same anchor for this one image, each quality encoded once: for several targets in a row."""
    files: dict[int, bytes] = {}

    def encode(other: np.ndarray, quality: int) -> bytes:
        if other is not image:
            return anchor.encode(other, quality)
        if quality not in files:
            files[quality] = anchor.encode(image, quality)
        return files[quality]

    return replace(anchor, encode=encode)


def _version(distribution: str) -> str:
    """Of the Python distribution that brings the codec."""
    return f"{distribution}-{metadata.version(distribution)}"


def _runs(anchor: Anchor) -> bool:
    try:
        anchor.require()
    except IcmError:
        return False
    return True


ANCHORS: dict[str, Anchor] = {
    "jpeg": Anchor(
        name="jpeg",
        label="JPEG",
        extension="jpg",
        version=partial(_version, "pillow"),
        qualities=tuple(range(1, 96)),  # above 95 JPEG spends bytes on nothing that can be seen
        sweep=(5, 10, 20, 30, 45, 60, 75, 85),
        encode=encode_jpeg,
        decode=pillow_decode,
        require=pillow_feature("jpg"),
    ),
    "webp": Anchor(
        name="webp",
        label="WebP",
        extension="webp",
        version=partial(_version, "pillow"),
        qualities=tuple(range(0, 101)),
        sweep=(1, 5, 15, 30, 45, 60, 75, 85),
        encode=encode_webp,
        decode=pillow_decode,
        require=pillow_feature("webp"),
    ),
    "avif": Anchor(
        name="avif",
        label="AVIF",
        extension="avif",
        version=partial(_version, "pillow"),
        qualities=tuple(range(0, 100)),
        sweep=(5, 12, 20, 30, 40, 50, 60, 70),
        encode=avif_encoder(AVIF_SPEED),
        decode=pillow_decode,
        require=pillow_feature("avif"),
    ),
    "jxl": Anchor(
        name="jxl",
        label="JPEG XL",
        extension="jxl",
        version=partial(_version, "imagecodecs"),
        qualities=tuple(range(0, 100)),
        sweep=(0, 10, 20, 35, 50, 65, 75, 85),
        encode=encode_jxl,
        decode=decode_jxl,
        require=imagecodecs,
    ),
    "hevc": Anchor(
        name="hevc",
        label="x265 4:2:0",
        extension="265",
        version=partial(_version, "imageio-ffmpeg"),
        qualities=QPS,
        sweep=(47, 42, 37, 32, 27, 22),
        encode=HEVC.encode,
        decode=HEVC.decode,
        require=HEVC.require,
    ),
    "vvc": Anchor(
        name="vvc",
        label="vvenc 4:2:0",
        extension="266",
        version=partial(_version, "imageio-ffmpeg"),
        qualities=VVC_QPS,
        sweep=(47, 42, 37, 32, 27, 22),
        encode=VVC.encode,
        decode=VVC.decode,
        require=VVC.require,
    ),
    "hm": Anchor(
        name="hm",
        label="HM 4:4:4",
        extension="265",
        version=HM.version,
        qualities=QPS,
        sweep=(47, 42, 37, 32, 27, 22),
        encode=HM.encode,
        decode=HM.decode,
        require=HM.require,
    ),
    "vtm": Anchor(
        name="vtm",
        label="VTM 4:4:4",
        extension="266",
        version=VTM.version,
        qualities=VVC_QPS,
        sweep=(47, 42, 37, 32, 27, 22),
        encode=VTM.encode,
        decode=VTM.decode,
        require=VTM.require,
    ),
}
