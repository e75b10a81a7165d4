"""Bicubic resizing in the two forms that PyTorch has, which do not even share their kernel.

    antialias=False    Keys cubic with a = -0.75, 4 taps, the border repeated
    antialias=True     Keys cubic with a = -0.5, stretched by in/out where it shrinks, weights renormalised at borders

Each axis is one small matrix made in NumPy: a resize is two products, and so is its gradient.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from icm_jax.layers.resize import position_type

FLOAT32 = np.dtype(np.float32)


def bicubic(
    x: Float[Array, "b h w c"], size: tuple[int, int], antialias: bool = False
) -> Float[Array, "b h2 w2 c"]:
    """Resizes to `size` = (height, width), sampling at pixel centres (`align_corners=False`)."""
    exact = jax.lax.Precision.HIGHEST  # a GPU would otherwise round the weights to 10 bits
    precision = position_type(x)
    if x.shape[1] != size[0]:
        rows = jnp.asarray(resize_matrix(x.shape[1], size[0], antialias, precision), x.dtype)
        x = jnp.einsum("oh,bhwc->bowc", rows, x, precision=exact)
    if x.shape[2] != size[1]:
        cols = jnp.asarray(resize_matrix(x.shape[2], size[1], antialias, precision), x.dtype)
        x = jnp.einsum("ow,bhwc->bhoc", cols, x, precision=exact)
    return x


@lru_cache(maxsize=128)
def resize_matrix(
    source: int,
    target: int,
    antialias: bool = False,
    precision: np.dtype[Any] = FLOAT32,
) -> Float[np.ndarray, "target source"]:
    """Weights of every source sample in every target sample of one axis; rows sum to 1.

    Args:
        precision: of the ratio of sizes, see `resize.position_type`.
    """
    ratio = float(precision.type(source) / precision.type(target))
    centre = ratio * (np.arange(target) + 0.5) - 0.5
    return _stretched(centre, source, max(ratio, 1.0)) if antialias else _four_taps(centre, source)


def _four_taps(centre: np.ndarray, source: int) -> np.ndarray:
    matrix = np.zeros((len(centre), source))
    first = np.floor(centre).astype(int) - 1
    for tap in range(4):
        weight = _cubic(first + tap - centre, -0.75)
        np.add.at(matrix, (np.arange(len(centre)), np.clip(first + tap, 0, source - 1)), weight)
    return matrix


def _stretched(centre: np.ndarray, source: int, stretch: float) -> np.ndarray:
    matrix = _cubic((np.arange(source)[None] - centre[:, None]) / stretch, -0.5)
    return matrix / matrix.sum(axis=1, keepdims=True)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel (1981)."""
    t = np.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = a * (((t - 5) * t + 8) * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
