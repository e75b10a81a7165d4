"""Bilinear resizing and edge padding: how an image of any size reaches the grid a published codec needs."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float


def bilinear(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Resizes to `size` = (height, width), sampling at pixel centres; no low-pass filter when it shrinks.

    The same values as PyTorch's `interpolate(mode="bilinear", align_corners=False, antialias=False)`.
    """
    for axis, length in zip((1, 2), size, strict=True):
        if x.shape[axis] != length:
            x = _lerp(x, axis, length)
    return x


def aligned_size(height: int, width: int, multiple: int) -> tuple[int, int]:
    """The smallest size that is at least (height, width) and a multiple of `multiple` in both directions."""
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad_edges(x: Float[Array, "b h w c"], multiple: int) -> Float[Array, "b h2 w2 c"]:
    """Repeats the last row and column until both sizes are multiples of `multiple`."""
    h, w = x.shape[1:3]
    height, width = aligned_size(h, w, multiple)
    return jnp.pad(x, ((0, 0), (0, height - h), (0, width - w), (0, 0)), mode="edge")


def _lerp(x: Float[Array, "b h w c"], axis: int, length: int) -> Float[Array, "b h2 w2 c"]:
    """Linear interpolation along one axis."""
    source_length = x.shape[axis]
    # The ratio in float32, as PyTorch has it: with the exact ratio the weights would differ by 1e-5 at the
    # far end of a large image.
    ratio = float(np.float32(source_length) / np.float32(length))
    position = np.maximum(ratio * (np.arange(length) + 0.5) - 0.5, 0).astype(np.float32)
    first = np.minimum(position.astype(np.int32), source_length - 1)
    second = np.minimum(first + 1, source_length - 1)
    shape = [1] * x.ndim
    shape[axis] = length
    weight = jnp.asarray((position - first).reshape(shape), x.dtype)
    return jnp.take(x, first, axis=axis) * (1 - weight) + jnp.take(x, second, axis=axis) * weight
