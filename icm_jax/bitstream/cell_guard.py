"""Guarded cells: what `guard` does for scales, for any numbers and while decoding goes on.

A coordinate u lies in the cell ⌈u⌉, bounded by whole numbers. An element within EPSILON of one is listed with
its side, and the decoder obeys. Where the next coordinates depend on what was decoded so far, the encoder
writes the list as it goes (`CellGuardWriter`) and the decoder, which has the whole list, follows
(`CellGuardReader`): both see the elements in the same order and give the same cells.
"""

import numpy as np
from numpy.typing import NDArray

from icm_jax.bitstream.errors import SymbolMismatch
from icm_jax.bitstream.guard import MAX_GUARDED, read_list, write_list

EPSILON = (
    1e-7  # in cells; coordinates up to 10^6 in float64 deviate by less than a tenth of it between machines
)


class CellGuardWriter:
    """The encoder's side."""

    def __init__(self) -> None:
        self._seen = 0
        self._positions: list[NDArray[np.int64]] = []
        self._sides: list[NDArray[np.int32]] = []

    def cells(self, coordinates: NDArray[np.float64]) -> NDArray[np.int64]:
        """The cells of the next n coordinates."""
        cells, nearest = np.ceil(coordinates), np.rint(coordinates)
        listed = np.flatnonzero(np.abs(coordinates - nearest) < EPSILON)
        self._positions.append(self._seen + listed)
        self._sides.append((cells - nearest)[listed].astype(np.int32))
        self._seen += len(coordinates)
        return cells.astype(np.int64)

    def list_bytes(self) -> bytes:
        """The list, in the format of `guard`."""
        empty = np.zeros(0, np.int32)
        return write_list(np.concatenate([empty, *self._positions]), np.concatenate([empty, *self._sides]))


class CellGuardReader:
    """The decoder's side; `size` is the number of elements that will be asked for.

    Raises:
        TruncatedStream, DamagedSection: the list is cut, too long or points outside.
    """

    def __init__(self, data: bytes, size: int) -> None:
        self._seen = 0
        self._positions, self._sides = read_list(data, min(size, MAX_GUARDED), size)

    def cells(self, coordinates: NDArray[np.float64]) -> NDArray[np.int64]:
        """The encoder's cells of the next n coordinates.

        Raises:
            SymbolMismatch: a listed coordinate is not near a boundary here, so it deviates by more than
            EPSILON.
        """
        cells = np.ceil(coordinates)
        first, last = np.searchsorted(self._positions, (self._seen, self._seen + len(coordinates)))
        listed = self._positions[first:last] - self._seen
        nearest = np.rint(coordinates[listed])
        far = np.abs(coordinates[listed] - nearest) >= 2 * EPSILON
        if far.any():
            raise SymbolMismatch(
                f"element {self._seen + listed[far.argmax()]} lies in another cell than the encoder's"
            )
        cells[listed] = nearest + self._sides[first:last]
        self._seen += len(coordinates)
        return cells.astype(np.int64)
