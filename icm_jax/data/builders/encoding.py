"""Arrays as the bytes that TFDS stores; its own encoder would need TensorFlow."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def png(label: UInt8[np.ndarray, "h w"]) -> bytes:
    """A map of 8-bit numbers as grey PNG. Never as a palette, which some decoders turn into colours."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(label, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
