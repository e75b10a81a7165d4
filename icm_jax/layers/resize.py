"""Bilinear resizing, pooling and edge padding: how maps and images of any size reach the size that is needed."""

from typing import Any

import jax
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


def bilinear_corners(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Resizes so that the centres of the corner pixels stay in place.

    The same values as PyTorch's `interpolate(mode="bilinear", align_corners=True)`.
    """
    for axis, length in zip((1, 2), size, strict=True):
        precision = position_type(x)
        ratio = precision.type(x.shape[axis] - 1) / precision.type(max(length - 1, 1))
        x = _interpolated(x, axis, ratio * np.arange(length, dtype=precision))
    return x


def mean_pooled(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Means over cells floor(i·h/h2) … ceil((i+1)·h/h2), which overlap where the sizes do not divide.

    The same values as PyTorch's `adaptive_avg_pool2d`.
    """
    for axis, cells in zip((1, 2), size, strict=True):
        length = x.shape[axis]
        if length != cells:
            # As a product: XLA neither unrolls the cells nor computes anew what it averages.
            weights = jnp.asarray(_cell_weights(length, cells), x.dtype)
            x = jnp.tensordot(x, weights, ((axis,), (1,)), precision=jax.lax.Precision.HIGHEST)
            x = jnp.moveaxis(x, -1, axis)
    return x


def aligned_size(height: int, width: int, multiple: int) -> tuple[int, int]:
    """The smallest size that is at least (height, width) and a multiple of `multiple` in both directions."""
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad_edges(x: Float[Array, "b h w c"], multiple: int) -> Float[Array, "b h2 w2 c"]:
    """Repeats the last row and column until both sizes are multiples of `multiple`."""
    h, w = x.shape[1:3]
    height, width = aligned_size(h, w, multiple)
    return jnp.pad(x, ((0, 0), (0, height - h), (0, width - w), (0, 0)), mode="edge")


def position_type(x: Array) -> np.dtype[Any]:
    """In what PyTorch has the ratio of sizes: float64 for float64 alone.

    With the exact ratio the weights of float32 would differ by 1e-5 at the far end of a large image.
    """
    return np.dtype(np.float64 if x.dtype == np.float64 else np.float32)


def _cell_weights(length: int, cells: int) -> np.ndarray:
    """[cells, length]: 1 / size of the cell on its samples."""
    cell, sample = np.arange(cells)[:, None], np.arange(length)
    inside = (sample >= cell * length // cells) & (sample < -(-(cell + 1) * length // cells))
    return inside / inside.sum(1, keepdims=True)


def _lerp(x: Float[Array, "b h w c"], axis: int, length: int) -> Float[Array, "b h2 w2 c"]:
    """Linear interpolation along one axis."""
    source_length = x.shape[axis]
    precision = position_type(x)
    ratio = float(precision.type(source_length) / precision.type(length))
    position = np.maximum(ratio * (np.arange(length) + 0.5) - 0.5, 0).astype(precision)
    return _interpolated(x, axis, position)


def _interpolated(x: Float[Array, "b h w c"], axis: int, position: np.ndarray) -> Float[Array, "b h2 w2 c"]:
    """Values between the two samples around each position of one axis."""
    last = x.shape[axis] - 1
    first = np.minimum(position.astype(np.int32), last)
    second = np.minimum(first + 1, last)
    shape = [1] * x.ndim
    shape[axis] = len(position)
    weight = jnp.asarray((position - first).reshape(shape), x.dtype)
    return jnp.take(x, first, axis=axis) * (1 - weight) + jnp.take(x, second, axis=axis) * weight
