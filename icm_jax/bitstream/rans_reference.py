"""rANS64 in plain Python: the definition that the fast kernels reproduce byte for byte.

State x, 2^31 <= x < 2^63. A symbol with `frequency` counts from `start` of 2^16:

    put:  x -> (x div frequency) · 2^16 + x mod frequency + start
    get:  the inverse, the symbol is where x mod 2^16 falls in the CDF

32-bit words leave the state before a put that would overflow it and enter after a get that fell below 2^31.
Symbols are put last to first, so that they come out first to last. A symbol outside its table is the escape
entry followed by 4-bit groups: their number, then the value, lowest group first.

Format: J. Duda, "Asymmetric numeral systems", 2013; F. Giesen's rans64; CompressAI's `encode_with_indexes`.
"""

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from icm_jax.bitstream.tables import PRECISION, CdfTables

STATE_LOW = 1 << 31
WORD_BITS = 32
BYPASS_BITS = 4
# Eight groups hold what CompressAI can represent; int32 symbols with int32 offsets need up to 34 bits.
MAX_BYPASS_GROUPS = 9

OK, TRUNCATED, BAD_ESCAPE = 0, 1, 2  # status of a decoding step

_WORD_MASK = (1 << WORD_BITS) - 1
_SLOT_MASK = (1 << PRECISION) - 1
_BYPASS_MASK = (1 << BYPASS_BITS) - 1


class Step(NamedTuple):
    """Result of decoding some symbols: where the decoder stands, and one of OK, TRUNCATED, BAD_ESCAPE."""

    symbols: NDArray[np.int32]
    state: int
    position: int
    status: int


class Lookup(NamedTuple):
    """What decoding needs of the tables: CDF rows as lists, escape entry and offset of each."""

    rows: list[list[int]]
    escapes: list[int]
    offsets: list[int]


def make_lookup(tables: CdfTables) -> Lookup:
    """Prepares validated tables for `decode_symbols`."""
    lengths = tables.length.tolist()
    rows = [row[:length].tolist() for row, length in zip(tables.cdf, lengths, strict=True)]
    return Lookup(rows, [length - 2 for length in lengths], tables.offset.tolist())


def encode_words(
    symbols: NDArray[np.int32], indexes: NDArray[np.int32], tables: CdfTables
) -> NDArray[np.uint32]:
    """The words of n symbols, in the order the decoder reads them; the first two hold the final state."""
    rows, escapes, offsets = make_lookup(tables)
    state = STATE_LOW
    words: list[int] = []  # written last to first
    for symbol, index in zip(reversed(symbols.tolist()), reversed(indexes.tolist()), strict=True):
        row, escape = rows[index], escapes[index]
        entry = symbol - offsets[index]
        if not 0 <= entry < escape:
            excess = -2 * entry - 1 if entry < 0 else 2 * (entry - escape)
            entry = escape
            groups = -(-excess.bit_length() // BYPASS_BITS)
            for group in reversed(range(groups)):
                state = _put_bits(state, excess >> (BYPASS_BITS * group) & _BYPASS_MASK, words)
            state = _put_bits(state, groups, words)
        start = row[entry]
        frequency = row[entry + 1] - start
        if state >= frequency << (63 - PRECISION):
            words.append(state & _WORD_MASK)
            state >>= WORD_BITS
        state = (state // frequency << PRECISION) + state % frequency + start
    words += [state >> WORD_BITS, state & _WORD_MASK]
    return np.array(words[::-1], np.uint32)


def decode_symbols(
    words: NDArray[np.uint32], state: int, position: int, indexes: NDArray[np.int32], lookup: Lookup
) -> Step:
    """Decodes one symbol an index, from `state` and the words at `position` on.

    Args:
        words: the words of the stream and one padding word behind them, which is never consumed.
    """
    rows, escapes, offsets = lookup
    word_list = words.tolist()
    last = len(word_list) - 1
    symbols = np.empty(len(indexes), np.int32)

    def refill() -> None:
        nonlocal state, position
        if state < STATE_LOW:
            state = state << WORD_BITS | word_list[min(position, last)]
            position += 1

    def take_bits() -> int:
        nonlocal state
        value = state & _BYPASS_MASK
        state >>= BYPASS_BITS
        refill()
        return value

    for i, index in enumerate(indexes.tolist()):
        row = rows[index]
        slot = state & _SLOT_MASK
        entry = bisect_right(row, slot) - 1
        state = (row[entry + 1] - row[entry]) * (state >> PRECISION) + slot - row[entry]
        refill()
        if entry == escapes[index]:
            groups = take_bits()
            if groups > MAX_BYPASS_GROUPS:
                return Step(symbols, state, position, BAD_ESCAPE)
            excess = sum(take_bits() << (BYPASS_BITS * group) for group in range(groups))
            entry = -(excess >> 1) - 1 if excess & 1 else entry + (excess >> 1)
            if not -(1 << 31) <= entry + offsets[index] < 1 << 31:
                return Step(symbols, state, position, BAD_ESCAPE)
        if position > last:
            return Step(symbols, state, position, TRUNCATED)
        symbols[i] = entry + offsets[index]
    return Step(symbols, state, position, OK)


def _put_bits(state: int, value: int, words: list[int]) -> int:
    if state >= 1 << (63 - BYPASS_BITS):
        words.append(state & _WORD_MASK)
        state >>= WORD_BITS
    return state << BYPASS_BITS | value
