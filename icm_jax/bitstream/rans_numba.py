"""The kernels of `rans_reference`, compiled: the same functions, the same bytes, some fifty times as fast.

Three things make the decoder fast. A bucket lookup turns the search for the symbol into one read, nearly
always. All indexes are unsigned, which spares numba's test for negative ones on the critical path. And the
refill is a select instead of a branch that would be mispredicted every few symbols.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from icm_jax.bitstream.rans_reference import (
    BAD_ESCAPE,
    BYPASS_BITS,
    MAX_BYPASS_GROUPS,
    OK,
    STATE_LOW,
    TRUNCATED,
    WORD_BITS,
    Step,
)
from icm_jax.bitstream.tables import PRECISION, CdfTables

MIN_BUCKET_BITS = 6

# uint64 throughout: numba turns uint64 mixed with int64 into float64.
_ONE = np.uint64(1)
_LOW = np.uint64(STATE_LOW)
_WORD = np.uint64(WORD_BITS)
_WORD_MASK = np.uint64((1 << WORD_BITS) - 1)
_COUNT = np.uint64(PRECISION)
_COUNT_MASK = np.uint64((1 << PRECISION) - 1)
_SYMBOL = np.uint64(2 * PRECISION)
_HEADROOM = np.uint64(63 - PRECISION)
_BYPASS = np.uint64(BYPASS_BITS)
_BYPASS_MASK = np.uint64((1 << BYPASS_BITS) - 1)
_BYPASS_LIMIT = np.uint64(1 << (63 - BYPASS_BITS))
_GROUPS = np.uint64(MAX_BYPASS_GROUPS)


def _readonly(dtype: Any, ndim: int = 1) -> Any:
    """A contiguous argument that is only read: accepts writable and read-only arrays with one compilation."""
    return types.Array(dtype, ndim, "C", readonly=True)


_I32, _U32, _U64 = _readonly(types.int32), _readonly(types.uint32), _readonly(types.uint64)
_CDF = _readonly(types.int32, 2)


def _compile(signature: Any = None) -> Callable[[Callable[..., Any]], Any]:
    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(signature, cache=True, nogil=True, error_model="numpy")(function)
        except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
            return numba.njit(signature, nogil=True, error_model="numpy")(function)

    return compiled


class Lookup(NamedTuple):
    """Rows packed without gaps.

    An item is start | frequency << 16 | entry << 32. `buckets` holds, for each value of the slot's leading
    bits, the item of the first entry in it; row t has 2^(16 - shift[t]) buckets from bucket_base[t] on.
    """

    items: NDArray[np.uint64]
    item_base: NDArray[np.uint64]
    buckets: NDArray[np.uint64]
    bucket_base: NDArray[np.uint64]
    shift: NDArray[np.uint64]
    length: NDArray[np.int32]
    offset: NDArray[np.int32]


def make_lookup(tables: CdfTables) -> Lookup:
    """Prepares validated tables for `decode_symbols`."""
    items, item_base, buckets, bucket_base, shift = _make_lookup(tables.cdf, tables.length)
    return Lookup(items, item_base, buckets, bucket_base, shift, tables.length, tables.offset)


def encode_words(
    symbols: NDArray[np.int32], indexes: NDArray[np.int32], tables: CdfTables
) -> NDArray[np.uint32]:
    """See `rans_reference.encode_words`."""
    words: NDArray[np.uint32] = _encode(symbols, indexes, *tables)
    return words


def decode_symbols(
    words: NDArray[np.uint32], state: int, position: int, indexes: NDArray[np.int32], lookup: Lookup
) -> Step:
    """See `rans_reference.decode_symbols`."""
    return Step(*_decode(words, np.uint64(state), np.uint64(position), indexes, *lookup))


@_compile()
def _put_bits(words: Any, position: Any, state: Any, value: Any) -> Any:
    if state >= _BYPASS_LIMIT:
        position -= _ONE
        words[position] = np.uint32(state & _WORD_MASK)
        state >>= _WORD
    return position, (state << _BYPASS) | value


@_compile((_I32, _I32, _CDF, _I32, _I32))
def _encode(symbols: Any, indexes: Any, cdf: Any, length: Any, offset: Any) -> Any:
    # A put adds at most 17 bits and an escape 40 more: two words a symbol always suffice.
    words = np.empty(2 * len(symbols) + 2, np.uint32)
    position = np.uint64(len(words))
    state = _LOW
    for i in range(len(symbols) - 1, -1, -1):
        index = np.uint64(indexes[i])
        value = np.int64(symbols[i]) - np.int64(offset[index])
        escape = np.int64(length[index]) - 2
        if value < 0 or value >= escape:
            excess = np.uint64(-2 * value - 1) if value < 0 else np.uint64(2 * (value - escape))
            value = escape
            groups = np.uint64(0)
            while groups < _GROUPS and excess >> (groups * _BYPASS) != 0:
                groups += _ONE
            for group in range(groups, 0, -1):
                bits = excess >> (np.uint64(group - 1) * _BYPASS) & _BYPASS_MASK
                position, state = _put_bits(words, position, state, bits)
            position, state = _put_bits(words, position, state, groups)
        start = np.uint64(cdf[index, np.uint64(value)])
        frequency = np.uint64(cdf[index, np.uint64(value) + _ONE]) - start
        if state >= frequency << _HEADROOM:
            position -= _ONE
            words[position] = np.uint32(state & _WORD_MASK)
            state >>= _WORD
        quotient = state // frequency
        state = (quotient << _COUNT) + (state - quotient * frequency) + start
    words[position - _ONE] = np.uint32(state >> _WORD)
    words[position - np.uint64(2)] = np.uint32(state & _WORD_MASK)
    return words[position - np.uint64(2) :].copy()


@_compile((_CDF, _I32))
def _make_lookup(cdf: Any, length: Any) -> Any:
    rows = len(cdf)
    shift = np.empty(rows, np.uint64)
    item_base = np.empty(rows, np.uint64)
    bucket_base = np.empty(rows, np.uint64)
    item_count, bucket_count = 0, 0
    for row in range(rows):
        bits = MIN_BUCKET_BITS
        while 1 << bits < length[row] - 1:  # one bucket a symbol, rounded up: more only fill the cache
            bits += 1
        shift[row] = PRECISION - bits
        item_base[row] = item_count
        bucket_base[row] = bucket_count
        item_count += length[row] - 1
        bucket_count += 1 << bits
    items = np.empty(item_count, np.uint64)
    buckets = np.empty(bucket_count, np.uint64)
    for row in range(rows):
        bucket = 0
        for entry in range(length[row] - 1):
            start, end = np.uint64(cdf[row, entry]), np.uint64(cdf[row, entry + 1])
            item = start | (end - start) << _COUNT | np.uint64(entry) << _SYMBOL
            items[item_base[row] + np.uint64(entry)] = item
            while np.uint64(bucket) << shift[row] < end:
                buckets[bucket_base[row] + np.uint64(bucket)] = item
                bucket += 1
    return items, item_base, buckets, bucket_base, shift


@_compile()
def _refill(words: Any, position: Any, state: Any) -> Any:
    """One word enters if the state is low. At the end the padding word is read instead, again and again."""
    last = np.uint64(len(words) - 1)
    word = np.uint64(words[min(position, last)])
    low = state < _LOW
    return position + np.uint64(low), (state << _WORD) | word if low else state


@_compile()
def _take_escape(words: Any, position: Any, state: Any) -> Any:
    groups = state & _BYPASS_MASK
    position, state = _refill(words, position, state >> _BYPASS)
    excess = np.uint64(0)
    if groups <= _GROUPS:
        for group in range(groups):
            excess |= (state & _BYPASS_MASK) << (np.uint64(group) * _BYPASS)
            position, state = _refill(words, position, state >> _BYPASS)
    return position, state, groups, excess


@_compile((_U32, types.uint64, types.uint64, _I32, _U64, _U64, _U64, _U64, _U64, _I32, _I32))
def _decode(
    words: Any,
    state: Any,
    position: Any,
    indexes: Any,
    items: Any,
    item_base: Any,
    buckets: Any,
    bucket_base: Any,
    shift: Any,
    length: Any,
    offset: Any,
) -> Any:
    symbols = np.empty(len(indexes), np.int32)
    last = np.uint64(len(words) - 1)
    for i in range(len(indexes)):
        index = np.uint64(indexes[i])
        slot = state & _COUNT_MASK
        item = buckets[bucket_base[index] + (slot >> shift[index])]
        entry = item >> _SYMBOL
        within = slot - (item & _COUNT_MASK)
        frequency = item >> _COUNT & _COUNT_MASK
        while within >= frequency:  # ends: the last entry of a row reaches up to 2^16
            entry += _ONE
            item = items[item_base[index] + entry]
            within = slot - (item & _COUNT_MASK)
            frequency = item >> _COUNT & _COUNT_MASK
        position, state = _refill(words, position, frequency * (state >> _COUNT) + within)
        value = np.int64(entry)
        if value == length[index] - 2:
            position, state, groups, excess = _take_escape(words, position, state)
            if groups > _GROUPS:
                return symbols, state, position, BAD_ESCAPE
            half = np.int64(excess >> _ONE)
            value = -half - 1 if excess & _ONE else value + half
            if not -(1 << 31) <= value + offset[index] < 1 << 31:
                return symbols, state, position, BAD_ESCAPE
        if position > last:
            return symbols, state, position, TRUNCATED
        symbols[i] = value + offset[index]
    return symbols, state, position, OK
