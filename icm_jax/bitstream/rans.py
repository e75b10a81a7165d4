"""rANS64 entropy coder: symbols <-> bytes, byte for byte CompressAI's `encode_with_indexes`.

The compiled kernels are used where numba is installed, the plain reference elsewhere: the same bytes.
"""

import functools
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from icm_jax.bitstream import rans_reference
from icm_jax.bitstream.errors import DamagedSection, TruncatedStream
from icm_jax.bitstream.rans_reference import STATE_LOW, TRUNCATED, WORD_BITS
from icm_jax.bitstream.tables import CdfTables, validate

WORD_BYTES = WORD_BITS // 8
STATE_BYTES = 2 * WORD_BYTES
STATE_HIGH = 1 << 63


def encode(symbols: NDArray[np.int32], indexes: NDArray[np.int32], tables: CdfTables) -> bytes:
    """Codes any int32 symbols; those outside their table cost an escape.

    Args:
        symbols: int32 [n].
        indexes: int32 [n], the row of `tables` for each symbol.
        tables: validated here.

    Returns:
        A multiple of 4 bytes, at least 8 (for n = 0: the initial state).

    Raises:
        ValueError: wrong type or shape, an index without a table, invalid tables.
    """
    tables = validate(tables)
    symbols, indexes = _vector("symbols", symbols), _indexes(indexes, tables)
    if len(symbols) != len(indexes):
        raise ValueError(f"{len(symbols)} symbols but {len(indexes)} indexes; every symbol needs one")
    words: NDArray[np.uint32] = _kernels().encode_words(symbols, indexes, tables)
    return words.astype("<u4", copy=False).tobytes()


def decode(
    data: bytes, indexes: NDArray[np.int32], tables: CdfTables, *, section: str = "rANS"
) -> NDArray[np.int32]:
    """The int32 [n] symbols that `encode` was given with the same indexes and tables.

    Args:
        section: what the errors call the data.

    Raises:
        TruncatedStream: the words ran out.
        DamagedSection: no encoder writes such bytes for these indexes and tables.
        ValueError: as for `encode`.
    """
    decoder = Decoder(data, tables, section=section)
    symbols = decoder.decode(indexes)
    decoder.finish()
    return symbols


class Decoder:
    """Decodes in steps, for models whose next indexes depend on the symbols so far.

        decoder = Decoder(data, tables)
        first = decoder.decode(indexes)
        second = decoder.decode(model(first))
        decoder.finish()

    The symbols are trustworthy only after `finish`. Errors are those of `decode`.
    """

    def __init__(self, data: bytes, tables: CdfTables, *, section: str = "rANS") -> None:
        if len(data) < STATE_BYTES or len(data) % WORD_BYTES:
            missing = max(STATE_BYTES - len(data), -len(data) % WORD_BYTES)
            raise TruncatedStream(section, missing, 0)
        # One padding word: the kernels look at the next word before they know whether they need it.
        self._words = np.append(np.frombuffer(data, "<u4").astype(np.uint32), np.uint32(0))
        self._state = int(self._words[0]) | int(self._words[1]) << WORD_BITS
        if not STATE_LOW <= self._state < STATE_HIGH:
            raise DamagedSection(section, "the initial state of the coder is out of range")
        self._position = 2
        self._section = section
        self._tables = validate(tables)
        self._lookup = _kernels().make_lookup(self._tables)

    def decode(self, indexes: NDArray[np.int32]) -> NDArray[np.int32]:
        """The next n symbols, int32 [n], for n indexes."""
        indexes = _indexes(indexes, self._tables)
        step: rans_reference.Step = _kernels().decode_symbols(
            self._words, self._state, self._position, indexes, self._lookup
        )
        if step.status == TRUNCATED:
            raise TruncatedStream(self._section, WORD_BYTES, 0)
        if step.status != rans_reference.OK:
            raise DamagedSection(self._section, "an escaped symbol does not fit 32 bits")
        self._state, self._position = int(step.state), int(step.position)
        return step.symbols

    def finish(self) -> None:
        """Checks that all words were used and that the encoder began where the decoder ends."""
        words_left = len(self._words) - 1 - self._position
        if words_left:
            raise DamagedSection(self._section, f"{words_left} words are left over after the last symbol")
        if self._state != STATE_LOW:
            raise DamagedSection(self._section, f"the coder ends in state {self._state} instead of 2^31")


@functools.cache
def _kernels() -> ModuleType:
    """Chosen on first use, not on import: loading numba takes half a second."""
    try:
        from icm_jax.bitstream import rans_numba
    except ImportError:
        return rans_reference
    return rans_numba


def _vector(name: str, values: NDArray[np.int32]) -> NDArray[np.int32]:
    array = np.ascontiguousarray(values)
    if array.dtype != np.int32 or np.ndim(values) != 1:
        shape = list(np.shape(values))
        raise ValueError(f"{name} must be int32 [n], got {array.dtype} {shape}; convert and ravel")
    return array


def _indexes(values: NDArray[np.int32], tables: CdfTables) -> NDArray[np.int32]:
    indexes = _vector("indexes", values)
    last = len(tables.length) - 1
    if len(indexes) and indexes.view(np.uint32).max() > last:  # one pass: negative ones are large there
        raise ValueError(f"indexes {indexes.min()}..{indexes.max()} exceed the tables 0..{last}")
    return indexes
