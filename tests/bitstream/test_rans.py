"""The coder writes CompressAI's bytes, gives every int32 back, and refuses every stream it did not write."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icm_jax.bitstream import (
    CdfTables,
    DamagedSection,
    Decoder,
    StreamError,
    TruncatedStream,
    decode,
    encode,
    rans_reference,
)
from icm_jax.bitstream import rans as coder
from tests.weights_convert import compressai_zoo

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
# Escape excesses of CompressAI are 32-bit numbers, and its encoder hangs from 2^28 on.
COMPRESSAI_LIMIT = 1 << 26


@pytest.fixture(scope="module", params=["rans_numba", "rans_reference"], autouse=True)
def kernels(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Runs every test with both implementations."""
    if request.param == "rans_numba":
        pytest.importorskip("numba")
    module = importlib.import_module(f"icm_jax.bitstream.{request.param}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coder, "_kernels", lambda: module)
        yield module


def random_tables(seed: int, sizes: list[int]) -> CdfTables:
    """One table a size: that many symbols around zero and the escape, with random counts."""
    rng = np.random.default_rng(seed)
    cdf = np.zeros((len(sizes), max(sizes) + 2), np.int32)
    for row, size in zip(cdf, sizes, strict=True):
        row[1 : size + 1] = np.sort(rng.choice(np.arange(1, 1 << 16), size, replace=False))
        row[size + 1] = 1 << 16
    lengths = np.array(sizes, np.int32) + 2
    return CdfTables(cdf, lengths, -(np.array(sizes, np.int32) // 2))


symbols_in_tables = st.integers(-40, 40)
symbols_far_out = st.one_of(
    st.integers(-(1 << 20), 1 << 20),
    st.integers(INT32_MIN, INT32_MAX),
    st.sampled_from([INT32_MIN, INT32_MAX]),
)
messages = st.tuples(
    st.integers(0, 1 << 32),
    st.lists(st.integers(1, 200), min_size=1, max_size=5),
    st.lists(st.tuples(st.one_of(symbols_in_tables, symbols_far_out), st.integers(0, 1 << 20)), max_size=80),
)


Drawn = tuple[int, list[int], list[tuple[int, int]]]


def _message(drawn: Drawn) -> tuple[np.ndarray, np.ndarray, CdfTables]:
    seed, sizes, pairs = drawn
    symbols = np.array([symbol for symbol, _ in pairs], np.int32)
    indexes = np.array([index % len(sizes) for _, index in pairs], np.int32)
    return symbols, indexes, random_tables(seed, sizes)


@pytest.mark.parametrize("image", [0, 1])
def test_reference_bytes(
    image: int, golden: dict[str, np.ndarray], gaussian_tables: CdfTables, factorized_tables: CdfTables
) -> None:
    y_indexes = golden["gc_indexes"][image].ravel().astype(np.int32)
    z = golden["z_symbols"][image]
    z_indexes = np.repeat(np.arange(len(z), dtype=np.int32), z[0].size)
    cases = (
        (golden["y_symbols"][image], y_indexes, gaussian_tables, golden[f"bitstream_y_{image}"]),
        (z, z_indexes, factorized_tables, golden[f"bitstream_z_{image}"]),
    )
    for values, indexes, tables, stored in cases:
        symbols = values.ravel().astype(np.int32)
        assert encode(symbols, indexes, tables) == stored.tobytes()
        np.testing.assert_array_equal(decode(stored.tobytes(), indexes, tables), symbols)


@given(messages)
@settings(max_examples=150, deadline=None)
def test_round_trip(drawn: Drawn) -> None:
    symbols, indexes, tables = _message(drawn)
    decoded = decode(encode(symbols, indexes, tables), indexes, tables)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, symbols)


@given(messages)
@settings(max_examples=100, deadline=None)
def test_same_bytes_as_the_reference(drawn: Drawn) -> None:
    symbols, indexes, tables = _message(drawn)
    words = rans_reference.encode_words(symbols, indexes, tables)
    assert encode(symbols, indexes, tables) == words.astype("<u4").tobytes()


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 4000, 65534])
def test_alphabets_from_one_symbol_to_all_counts(size: int) -> None:
    tables = random_tables(7, [size])
    symbols = np.random.default_rng(0).integers(-size // 2 - 2, size // 2 + 2, 500).astype(np.int32)
    indexes = np.zeros(500, np.int32)
    np.testing.assert_array_equal(decode(encode(symbols, indexes, tables), indexes, tables), symbols)


def test_extreme_symbols_with_extreme_offsets() -> None:
    cdf = np.array([[0, 9, 1 << 16]] * 2, np.int32)
    tables = CdfTables(cdf, np.full(2, 3, np.int32), np.array([INT32_MIN, INT32_MAX - 3], np.int32))
    symbols = np.array([INT32_MAX, INT32_MIN, INT32_MIN, INT32_MAX], np.int32)
    indexes = np.array([0, 1, 0, 1], np.int32)
    np.testing.assert_array_equal(decode(encode(symbols, indexes, tables), indexes, tables), symbols)


def test_nothing_to_code_is_the_initial_state(gaussian_tables: CdfTables) -> None:
    nothing = np.zeros(0, np.int32)
    assert encode(nothing, nothing, gaussian_tables) == (1 << 31).to_bytes(8, "little")
    assert decode((1 << 31).to_bytes(8, "little"), nothing, gaussian_tables).shape == (0,)


def test_a_word_leaves_exactly_at_the_limit() -> None:
    cdf = np.array([[0, 1 << 15, 1 << 16]], np.int32)
    tables = CdfTables(cdf, np.full(1, 3, np.int32), np.zeros(1, np.int32))
    zeros = np.zeros(40, np.int32)
    # Each put doubles the state: 2^62, where the 32nd would overflow it, loses a word of zeros.
    assert encode(zeros, zeros, tables) == (1 << 39).to_bytes(8, "little") + bytes(4)


@pytest.fixture(scope="module")
def short() -> tuple[bytes, np.ndarray, np.ndarray, CdfTables]:
    """A few symbols with escapes among them."""
    tables = random_tables(3, [5, 40])
    symbols = np.array([0, 1, -2, 19, 70, -3, 2, -9000, 5, 0, -1, 1, 12345678, 2, 0], np.int32)
    indexes = np.arange(len(symbols), dtype=np.int32) % 2
    return encode(symbols, indexes, tables), symbols, indexes, tables


def test_every_truncation_is_noticed(short: tuple[bytes, np.ndarray, np.ndarray, CdfTables]) -> None:
    data, _, indexes, tables = short
    for length in range(len(data)):
        with pytest.raises(TruncatedStream, match="section Y"):
            decode(data[:length], indexes, tables, section="Y")


def test_no_flipped_bit_goes_unseen(short: tuple[bytes, np.ndarray, np.ndarray, CdfTables]) -> None:
    data, symbols, indexes, tables = short
    refused = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded = decode(bytes(damaged), indexes, tables)
        except StreamError:
            refused += 1
        else:
            # The coder is a bijection: other bytes are other symbols. The container's CRC is for these.
            assert not np.array_equal(decoded, symbols)
    assert refused > 4 * len(data)


@given(st.binary(max_size=200), st.integers(0, 300))
@settings(max_examples=200, deadline=None)
def test_noise_ends_in_symbols_or_an_error(noise: bytes, count: int) -> None:
    tables = random_tables(5, [1, 30, 300])
    indexes = np.arange(count, dtype=np.int32) % 3
    try:
        assert decode(noise, indexes, tables).shape == (count,)
    except StreamError as error:
        assert "\n" not in str(error)


def test_left_over_words_are_refused(short: tuple[bytes, np.ndarray, np.ndarray, CdfTables]) -> None:
    data, _, indexes, tables = short
    with pytest.raises(DamagedSection, match="left over"):
        decode(data + bytes(4), indexes, tables)
    with pytest.raises(DamagedSection, match="left over"):
        decode(data, indexes[:2], tables)


def test_another_starting_point_is_refused() -> None:
    tables = random_tables(0, [2])
    symbols = np.zeros(1, np.int32)
    data = bytearray(encode(symbols, symbols, tables))
    data[-1] ^= 1  # a higher state than the encoder can have begun with
    with pytest.raises(DamagedSection, match="instead of 2\\^31"):
        decode(bytes(data), symbols, tables)


@pytest.mark.parametrize("state", [0, (1 << 31) - 1, 1 << 63, (1 << 64) - 1])
def test_impossible_initial_state(state: int) -> None:
    with pytest.raises(DamagedSection, match="initial state"):
        Decoder(state.to_bytes(8, "little"), random_tables(0, [2]))


@pytest.mark.parametrize("nibbles", [[15], [10], [9] + [15] * 9])
def test_escapes_beyond_32_bits_are_refused(nibbles: list[int]) -> None:
    cdf = np.array([[0, 1 << 15, 1 << 16]], np.int32)
    tables = CdfTables(cdf, np.full(1, 3, np.int32), np.zeros(1, np.int32))
    state = 1 << 31
    words: list[int] = []
    for nibble in reversed(nibbles):
        if state >= 1 << 59:
            words.insert(0, state & 0xFFFFFFFF)
            state >>= 32
        state = state << 4 | nibble
    state = (state >> 15 << 16) + (state & 0x7FFF) + (1 << 15)  # the escape: upper half of the counts
    assert state < 1 << 63
    data = state.to_bytes(8, "little") + np.array(words, "<u4").tobytes()
    with pytest.raises(DamagedSection, match="does not fit 32 bits"):
        decode(data, np.zeros(1, np.int32), tables)


def test_steps_give_what_one_call_gives(short: tuple[bytes, np.ndarray, np.ndarray, CdfTables]) -> None:
    data, symbols, indexes, tables = short
    decoder = Decoder(data, tables)
    parts = [decoder.decode(part) for part in np.split(indexes, [0, 1, 4, 4, 11])]
    decoder.finish()
    np.testing.assert_array_equal(np.concatenate(parts), symbols)
    with pytest.raises(TruncatedStream):
        for _ in range(100):
            decoder.decode(indexes)


def test_finish_needs_all_symbols(short: tuple[bytes, np.ndarray, np.ndarray, CdfTables]) -> None:
    data, _, indexes, tables = short
    decoder = Decoder(data, tables)
    decoder.decode(indexes[:-1])
    with pytest.raises(DamagedSection):
        decoder.finish()


def test_read_only_and_strided_arguments(short: tuple[bytes, np.ndarray, np.ndarray, CdfTables]) -> None:
    data, symbols, indexes, tables = short
    strided = np.repeat(symbols, 2)[::2]
    frozen = indexes.copy()
    frozen.flags.writeable = False
    assert encode(strided, frozen, tables) == data
    np.testing.assert_array_equal(decode(data, frozen, tables), symbols)


def test_wrong_arguments() -> None:
    tables = random_tables(0, [4, 4])
    zeros = np.zeros(3, np.int32)
    with pytest.raises(ValueError, match="symbols must be int32"):
        encode(zeros.astype(np.int64), zeros, tables)
    with pytest.raises(ValueError, match="indexes must be int32"):
        encode(zeros, zeros[None], tables)
    with pytest.raises(ValueError, match="3 symbols but 2 indexes"):
        encode(zeros, zeros[:2], tables)
    for index in (-1, 2):
        with pytest.raises(ValueError, match=r"exceed the tables 0\.\.1"):
            encode(zeros, np.full(3, index, np.int32), tables)
        with pytest.raises(ValueError, match=r"exceed the tables 0\.\.1"):
            decode(encode(zeros, zeros, tables), np.full(3, index, np.int32), tables)


def test_works_without_numba() -> None:
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "from icm_jax.bitstream import rans\n"
        "assert rans._kernels().__name__ == 'icm_jax.bitstream.rans_reference'"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parity
@pytest.mark.parametrize("far", [0, COMPRESSAI_LIMIT])
def test_parity_with_compressai(far: int) -> None:
    ans = _compressai_ans()
    tables = random_tables(11, [1, 3, 50, 900])
    rng = np.random.default_rng(far)
    indexes = rng.integers(0, 4, 5000).astype(np.int32)
    symbols = np.rint(rng.normal(0, 1 + 10.0**indexes)).astype(np.int32)
    symbols[::50] += rng.integers(-far, far + 1, 100).astype(np.int32)
    arguments = (indexes.tolist(), tables.cdf.tolist(), tables.length.tolist(), tables.offset.tolist())
    theirs = ans.RansEncoder().encode_with_indexes(symbols.tolist(), *arguments)
    assert encode(symbols, indexes, tables) == theirs
    decoded = decode(theirs, indexes, tables)
    assert ans.RansDecoder().decode_with_indexes(theirs, *arguments) == decoded.tolist()


def _compressai_ans() -> ModuleType:
    """CompressAI's coder, by way of its package: a process can load the extension only once."""
    compressai_zoo.registered()
    from compressai import ans

    return ans
