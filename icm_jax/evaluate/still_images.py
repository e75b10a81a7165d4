"""Still-image codecs of Pillow and imagecodecs: image -> bytes -> image, at settings that other rooms cite."""

import importlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, features

from icm_jax.errors import IcmError

INSTALL_HINT = "pip install 'icm-jax[anchors]'"
WEBP_METHOD = 6  # slowest, smallest
AVIF_SPEED = 4
AVIF_QUICK_SPEED = 6  # libavif's default: a fifth of the time, 0.1-0.3 dB worse
JXL_EFFORT = 7  # libjxl's default


def avif_encoder(speed: int) -> Callable[[np.ndarray, int], bytes]:
    """AVIF 4:2:0 at a speed from 0 (smallest files) to 10."""

    def encode(image: np.ndarray, quality: int) -> bytes:
        return _pillow_encode(image, "AVIF", quality=quality, speed=speed, subsampling="4:2:0")

    return encode


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Baseline JPEG 4:2:0 with tables made for the image."""
    return _pillow_encode(image, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")


def encode_webp(image: np.ndarray, quality: int) -> bytes:
    """Lossy WebP."""
    return _pillow_encode(image, "WEBP", quality=quality, method=WEBP_METHOD)


def encode_jxl(image: np.ndarray, quality: int) -> bytes:
    """Lossy JPEG XL on one thread."""
    codecs = imagecodecs()
    return bytes(codecs.jpegxl_encode(image, level=quality, lossless=False, effort=JXL_EFFORT, numthreads=1))


def decode_jxl(data: bytes) -> np.ndarray:
    """Inverse of `encode_jxl`."""
    return np.asarray(imagecodecs().jpegxl_decode(data, numthreads=1))


def _pillow_encode(image: np.ndarray, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, image_format, **options)
    return buffer.getvalue()


def pillow_decode(data: bytes) -> np.ndarray:
    """Any file that Pillow reads, as uint8 RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def imagecodecs() -> Any:
    """The module; raises IcmError with the way to get it."""
    try:
        return importlib.import_module("imagecodecs")
    except ImportError as error:
        raise IcmError(f"anchor 'jxl' needs imagecodecs, which is not installed; {INSTALL_HINT}") from error


def pillow_feature(feature: str) -> Callable[[], None]:
    """A check that this Pillow was built with a codec."""

    def require() -> None:
        if not features.check(feature):
            raise IcmError(f"this Pillow was built without {feature}; install a Pillow 13 wheel")

    return require
