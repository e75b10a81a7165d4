"""Guarded indexes: both sides agree on every table index although their scales differ in the last bits.

    index of a scale = number of levels (the last one left out) below it

A last-bit difference moves a scale across a level only if it lies within a hair of it. The encoder lists
those elements with the side it took; the decoder obeys the list and trusts its own side everywhere else:

    deviation < epsilon  =>  not listed: both scales lie on the same side of every level
                             listed: both scales have the same nearest level, and the list tells the side

Scales must come **unclamped** from the network: clamped to 0.11 they would all lie on the first level.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from icm_jax.bitstream.errors import DamagedSection, SymbolMismatch
from icm_jax.bitstream.wire import Cursor, varint

SCALE_MIN = 0.11
SCALE_MAX = 256.0
LEVELS = 64
LOG_STEP = math.log(SCALE_MAX / SCALE_MIN) / (LEVELS - 1)

# In ln(scale), by the header's scale_precision: far above the deviation between machines in that precision.
NOTHING_LISTED = b"\0"  # what encode_guard gives for no ambiguous element
EPSILON = {"float64": 1e-9, "float32": 1e-4}
# Above a quarter step the nearest level would no longer be beyond doubt.
MAX_EPSILON = LOG_STEP / 4
MAX_GUARDED = 1 << 20


def scale_table() -> NDArray[np.float64]:
    """The 64 levels: standard deviations from 0.11 to 256, evenly spaced in the logarithm."""
    return np.geomspace(SCALE_MIN, SCALE_MAX, LEVELS)


def scale_indexes(scales: ArrayLike) -> NDArray[np.int32]:
    """The position of the smallest level that is not below each scale, at most 63. Same shape as `scales`.

    Everything up to 0.11, negative values included, has index 0.

    Raises:
        ValueError: a scale is not a number.
    """
    return np.searchsorted(scale_table()[:-1], _float64(scales)).astype(np.int32)


def ambiguous(scales: ArrayLike, epsilon: float) -> NDArray[np.int64]:
    """Flat, rising positions k of the scales with |ln scale - ln level| < epsilon for a level that divides.

    Raises:
        ValueError: epsilon out of range, or a scale is not a number.
    """
    if not 0 < epsilon < MAX_EPSILON:
        raise ValueError(f"epsilon {epsilon} is outside 0..{MAX_EPSILON:.4f}, a quarter of the level spacing")
    _, distance = _nearest_level(_float64(scales).ravel())
    return np.flatnonzero(distance < epsilon).astype(np.int64)


def encode_guard(scales: ArrayLike, epsilon: float = EPSILON["float64"]) -> bytes:
    """The list of ambiguous elements: their number, then for each 2 · gap + side, all as varints.

    The gap is the number of elements between this one and the one before; the side is 1 for above the level.
    An empty list, by far the most frequent one, is a single zero byte.
    """
    positions = ambiguous(scales, epsilon)
    listed = _float64(scales).ravel()[positions]
    levels, _ = _nearest_level(listed)
    sides = scale_indexes(listed) - levels
    return write_list(positions, sides)


def decode_guard(
    data: bytes, scales: ArrayLike, epsilon: float = EPSILON["float64"], count_limit: int = MAX_GUARDED
) -> NDArray[np.int32]:
    """The encoder's indexes from the decoder's own scales, which deviate by less than epsilon in ln(scale).

    Returns:
        int32, same shape as `scales`.

    Raises:
        TruncatedStream, DamagedSection: the list is cut, too long or points outside.
        SymbolMismatch: a listed scale is not near a level here, so it deviates by more than epsilon.
    """
    own = _float64(scales)
    indexes = scale_indexes(own).ravel()
    positions, sides = read_list(data, min(count_limit, own.size), own.size)
    levels, distance = _nearest_level(own.ravel()[positions])
    # The encoder's scale lies within epsilon of the level, and this one within epsilon of the encoder's.
    far = distance >= 2 * epsilon
    if far.any():
        raise SymbolMismatch(f"the scale of element {positions[far.argmax()]} differs from the encoder's")
    indexes[positions] = levels + sides
    return indexes.reshape(own.shape)


def write_list(positions: NDArray[np.int64], sides: NDArray[np.int32]) -> bytes:
    """Bytes of a list of rising positions, a side (0 or 1) each; see `encode_guard`."""
    gaps = np.diff(positions, prepend=-1) - 1
    entries = (varint(entry) for entry in (2 * gaps + sides).tolist())
    return varint(len(positions)) + b"".join(entries)


def read_list(data: bytes, count_limit: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Positions below `size`, and their sides.

    Raises:
        TruncatedStream, DamagedSection: the list is cut, too long or points outside.
    """
    cursor = Cursor(data, "GUARD")
    count = cursor.varint()
    if count > min(count_limit, cursor.left):  # an entry takes a byte at least
        raise DamagedSection("GUARD", f"it claims {count} elements, more than it can hold")
    entries = np.array([cursor.varint() for _ in range(count)], np.int64)
    if cursor.left:
        raise DamagedSection("GUARD", f"{cursor.left} bytes are left over")
    positions = np.cumsum((entries >> 1) + 1) - 1
    if count and positions[-1] >= size:
        raise DamagedSection("GUARD", f"element {positions[-1]} of {size} is listed")
    return positions, (entries & 1).astype(np.int32)


def _nearest_level(scales: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The dividing level nearest to each scale, and the distance to it in ln(scale)."""
    steps = np.log(np.maximum(scales, np.finfo(np.float64).tiny) / SCALE_MIN) / LOG_STEP
    # The last level divides nothing: its index is also that of all larger scales.
    levels = np.clip(np.rint(steps), 0, LEVELS - 2)
    return levels.astype(np.int32), np.abs(steps - levels) * LOG_STEP


def _float64(scales: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(scales, np.float64)
    if np.isnan(array).any():
        raise ValueError("a scale is not a number; check the weights of the hyper-decoder")
    return array
