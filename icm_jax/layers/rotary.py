"""Rotary position embedding in two dimensions, "cat" type (EVA-02; Fang et al., 2023).

    angle of pair j < d/4:   row · 10000^(-4j/d)        the first half of a head turns with the row
    angle of pair j ≥ d/4:   column · 10000^(-4j/d + 1) the second with the column

Rows and columns run through [0, 16) whatever the grid, so one model serves every size and aspect ratio.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy.typing import DTypeLike

REFERENCE_SIDE = 16  # the grid of the pre-training: 224 pixels in patches of 14
TEMPERATURE = 10000.0


class RotaryTable(NamedTuple):
    """Sine and cosine for every position of a grid, row by row, each angle twice in a row: [n, head_dim]."""

    sin: Float[np.ndarray, "n d"]
    cos: Float[np.ndarray, "n d"]


def frequency_bands(head_dim: int, dtype: DTypeLike = np.float32) -> Float[np.ndarray, "d4"]:
    """Radians per unit of position of the head_dim/4 pairs of an axis, falling."""
    exponents = np.arange(head_dim // 4, dtype=dtype) / np.asarray(head_dim // 4, dtype)
    return np.asarray(1, dtype) / np.asarray(TEMPERATURE, dtype) ** exponents


def rotary_table(
    grid: tuple[int, int],
    head_dim: int,
    reference_side: int | None = REFERENCE_SIDE,
    dtype: DTypeLike = np.float32,
) -> RotaryTable:
    """Table of a grid (rows, columns); without a reference side positions count 0, 1, 2, …

    In the reference's order of operations, and as there in float32 or better, whatever `dtype` the tokens have.
    """
    dtype = jnp.promote_types(dtype, np.float32)
    positions = [np.arange(side, dtype=dtype) for side in grid]
    if reference_side is not None:
        positions = [t / dtype.type(len(t)) * dtype.type(reference_side) for t in positions]
    bands = frequency_bands(head_dim, dtype)
    rows, cols = (t[:, None] * bands for t in positions)
    shape = (*grid, len(bands))
    angles = np.concatenate([np.broadcast_to(rows[:, None], shape), np.broadcast_to(cols, shape)], axis=-1)
    angles = np.repeat(angles.reshape(grid[0] * grid[1], -1), 2, axis=-1)
    return RotaryTable(np.sin(angles), np.cos(angles))


def rotate(x: Float[Array, "*b n heads d"], table: RotaryTable) -> Float[Array, "*b n heads d"]:
    """Turns every pair of neighbouring channels by the angle of its position; the same for all heads."""
    sin, cos = (jnp.asarray(part, x.dtype)[:, None] for part in table)
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    quarter_turn = jnp.stack([-pairs[..., 1], pairs[..., 0]], axis=-1).reshape(x.shape)
    return x * cos + quarter_turn * sin
