"""Integer CDF tables: the only form in which the coder sees a probability model."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PRECISION = 16  # bits
TOTAL = 1 << PRECISION  # every row counts up to this
MIN_LENGTH = 3  # leading 0, at least one symbol, the escape


class CdfTables(NamedTuple):
    """One row a distribution, in CompressAI's layout (`_quantized_cdf`, `_cdf_length`, `_offset`).

    Row t is cdf[t, :length[t]] = 0 < … < 2^16. Entry s belongs to the symbol s + offset[t]; the last entry,
    s = length[t] - 2, is the escape. What lies beyond length[t] is ignored.
    """

    cdf: NDArray[np.int32]  # [T, L]
    length: NDArray[np.int32]  # [T]
    offset: NDArray[np.int32]  # [T]


def validate(tables: CdfTables) -> CdfTables:
    """Checks everything the coder relies on to stay inside its arrays.

    Returns:
        The same tables as contiguous NumPy arrays.

    Raises:
        ValueError: wrong type or shape, a length or offset out of range, a row that does not rise strictly
            from 0 to 2^16.
    """
    cdf, length, offset = (np.ascontiguousarray(array) for array in tables)
    for name, array in zip(CdfTables._fields, (cdf, length, offset), strict=True):
        if array.dtype != np.int32:
            raise ValueError(f"{name} must be int32, got {array.dtype}; use .astype(np.int32)")
    if cdf.ndim != 2 or not len(cdf) or length.shape != cdf.shape[:1] or offset.shape != cdf.shape[:1]:
        raise ValueError(
            f"tables must have shapes [T, L], [T], [T] with T > 0, got {cdf.shape}, {length.shape}, {offset.shape}"
        )
    rows, width = cdf.shape
    _refuse((length < MIN_LENGTH) | (length > width), f"length out of range {MIN_LENGTH}..{width}")
    _refuse(offset > np.iinfo(np.int32).max - length, "offset too large: a symbol would not fit 32 bits")
    ends = cdf[np.arange(rows), length - 1]
    _refuse((cdf[:, 0] != 0) | (ends != TOTAL), f"the row must go from 0 to {TOTAL}")
    # Compared, not subtracted: a difference of hostile int32 values wraps around.
    falls = cdf[:, 1:] <= cdf[:, :-1]
    used = np.arange(1, width) < length[:, None]
    _refuse((falls & used).any(axis=1), "the row must rise strictly: every symbol needs a count")
    return CdfTables(cdf, length, offset)


def _refuse(bad: NDArray[np.bool_] | np.bool_, reason: str) -> None:
    if bad.any():
        raise ValueError(f"CDF table {int(bad.argmax())}: {reason}; export the codec again")
