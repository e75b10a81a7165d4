"""ROIAlign (He et al., ICCV 2017): a grid of bins in every box, each the mean of bilinear samples of a map.

bin size = side / bins      samples per bin and axis = ⌈bin size⌉, or a fixed number
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

CHUNK = 64  # boxes pooled together


@dataclass(frozen=True)
class Sampling:
    """Which of the two conventions.

    Attributes:
        aligned: pixel centres lie at half numbers; else at whole ones, and a side is at least one pixel of the map.
        per_bin: samples along an axis of a bin; 0: as many as the bin has pixels of the map.
    """

    aligned: bool = True
    per_bin: int = 0


class _Axis(NamedTuple):
    """One axis of some boxes on their maps: where the first bin begins, its size, its samples, the map's length."""

    start: Array
    bin: Array
    samples: Array
    length: Array


def roi_align(
    maps: Sequence[Float[Array, "h w c"]],
    boxes: Float[Array, "n 4"],
    levels: Int[Array, "n"],
    scales: Sequence[float],
    bins: int,
    sampling: Sampling,
) -> Float[Array, "n bins bins c"]:
    """Pools every box from the map of its level.

    Args:
        maps: the levels.
        boxes: in pixels of the image.
        levels: index of a box's map.
        scales: pixels of each map per pixel of the image.
    """
    heights, widths = (jnp.array([m.shape[axis] for m in maps])[levels] for axis in (0, 1))
    sizes = [m.shape[0] * m.shape[1] for m in maps]
    first = jnp.array([sum(sizes[:i]) for i in range(len(sizes))])[levels]
    table = jnp.concatenate([m.reshape(-1, m.shape[-1]) for m in maps])
    corners = boxes * jnp.array(scales, boxes.dtype)[levels][:, None] - 0.5 * sampling.aligned
    x = _axis(corners[:, 0], corners[:, 2], widths, bins, sampling)
    y = _axis(corners[:, 1], corners[:, 3], heights, bins, sampling)

    # Boxes of like size go together: a chunk loops as often as its largest box asks for.
    order = jnp.argsort(x.samples * y.samples)
    order = jnp.pad(order, (0, -len(order) % CHUNK), mode="edge").reshape(-1, CHUNK)
    pooled = jax.lax.map(lambda chosen: _pool(table, *_take((first, y, x), chosen), bins), order)
    back = jnp.zeros((len(boxes), *pooled.shape[2:]), pooled.dtype)
    return back.at[order.reshape(-1)].set(pooled.reshape(-1, *pooled.shape[2:]))


def _axis(low: Array, high: Array, length: Array, bins: int, sampling: Sampling) -> _Axis:
    side = high - low if sampling.aligned else jnp.maximum(high - low, 1)
    size = side / bins
    samples = jnp.full(len(low), sampling.per_bin) if sampling.per_bin else jnp.ceil(size).astype(int)
    return _Axis(low, size, jnp.maximum(samples, 0), length)


def _take(tree: tuple[Array, _Axis, _Axis], chosen: Array) -> tuple[Array, _Axis, _Axis]:
    taken: tuple[Array, _Axis, _Axis] = jax.tree.map(lambda leaf: leaf[chosen], tree)
    return taken


def _pool(table: Array, first: Array, y: _Axis, x: _Axis, bins: int) -> Float[Array, "n bins bins c"]:
    """Sums the samples one after another: the k-th of all bins of all boxes at once."""
    count = y.samples * x.samples

    def add(k: Array, total: Array) -> Array:
        columns = jnp.maximum(x.samples, 1)
        rows = [(row, weight * (k < count)[:, None]) for row, weight in _neighbours(y, k // columns, bins)]
        for row, row_weight in rows:
            for column, weight in _neighbours(x, k % columns, bins):
                index = first[:, None, None] + row[:, :, None] * x.length[:, None, None] + column[:, None, :]
                total += table[index] * (row_weight[:, :, None] * weight[:, None, :])[..., None]
        return total

    zeros = jnp.zeros((len(first), bins, bins, table.shape[-1]), table.dtype)
    total = jax.lax.fori_loop(0, count.max(), add, zeros)
    return total / jnp.maximum(count, 1)[:, None, None, None]


def _neighbours(axis: _Axis, sample: Array, bins: int) -> list[tuple[Array, Array]]:
    """(index, weight), each [n, bins], of the two pixels around a sample of every bin; weights 0 far outside."""
    offset = (sample + 0.5) / jnp.maximum(axis.samples, 1)
    position = axis.start[:, None] + (jnp.arange(bins) + offset[:, None]) * axis.bin[:, None]
    last = axis.length[:, None] - 1
    inside = (position >= -1) & (position <= axis.length[:, None])
    position = jnp.clip(position, 0, last)
    low = jnp.floor(position).astype(int)
    fraction = position - low
    return [(low, inside * (1 - fraction)), (jnp.minimum(low + 1, last), inside * fraction)]
