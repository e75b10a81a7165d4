"""Two machines whose scales differ in the last bits use the same table index for every element."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icm_jax.bitstream import (
    EPSILON,
    DamagedSection,
    SymbolMismatch,
    TruncatedStream,
    ambiguous,
    decode_guard,
    encode_guard,
    scale_indexes,
    scale_table,
)

LEVELS = scale_table()
EPSILONS = st.sampled_from(sorted(EPSILON.values()))


def test_levels_of_the_field() -> None:
    assert LEVELS.shape == (64,) and LEVELS.dtype == np.float64
    assert (LEVELS[0], LEVELS[-1]) == (0.11, 256.0)
    np.testing.assert_allclose(LEVELS[[1, 2, 62]], [0.1244, 0.1407, 226.36], rtol=5e-4)


def test_indexes_of_the_reference(golden: dict[str, np.ndarray]) -> None:
    scales = golden["scales"]
    np.testing.assert_array_equal(scale_indexes(scales), golden["gc_indexes"][0, : len(scales)])


def test_index_is_the_smallest_level_not_below() -> None:
    np.testing.assert_array_equal(scale_indexes(LEVELS), np.arange(64))
    np.testing.assert_array_equal(scale_indexes(LEVELS * (1 + 1e-12)), np.minimum(np.arange(1, 65), 63))
    np.testing.assert_array_equal(scale_indexes([[-5.0, 0.0], [1e-300, 0.10999]]), [[0, 0], [0, 0]])
    np.testing.assert_array_equal(scale_indexes([300.0, 1e9, np.inf]), [63, 63, 63])
    assert scale_indexes(np.float32(1.0)).dtype == np.int32


def test_only_dividing_levels_are_ambiguous() -> None:
    np.testing.assert_array_equal(ambiguous(LEVELS, 1e-9), np.arange(63))
    np.testing.assert_array_equal(ambiguous(LEVELS * np.exp(0.9e-4), 1e-4), np.arange(63))
    assert ambiguous(LEVELS * np.exp(1.1e-4), 1e-4).size == 0
    assert ambiguous([-1.0, 0.0, 0.1, 256.0, 400.0, np.inf], 1e-4).size == 0
    np.testing.assert_array_equal(ambiguous(LEVELS[[[0, 63], [63, 5]]], 1e-9), [0, 3])


def test_nothing_ambiguous_is_one_zero_byte() -> None:
    scales = np.full((4, 5), 1.0)
    assert encode_guard(scales) == b"\0"
    np.testing.assert_array_equal(decode_guard(b"\0", scales), scale_indexes(scales))
    assert decode_guard(encode_guard(np.zeros((0, 3))), np.zeros((0, 3))).shape == (0, 3)


def test_bytes_of_a_list() -> None:
    scales = np.full(200, 1.0)
    scales[[3, 4, 150]] = LEVELS[[10, 11, 12]] * np.exp([2e-10, -2e-10, 2e-10])
    # 3 entries; gap 3 above, gap 0 below, gap 145 above: 7, 0, 291 = 0x23 + 128 · 2
    assert encode_guard(scales) == bytes([3, 7, 0, 0xA3, 0x02])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 63), st.floats(-2, 2), st.floats(-1, 1)),  # near a level, in epsilons
            st.tuples(st.integers(0, 63), st.floats(-1e8, 1e8), st.floats(-1, 1)),  # anywhere
        ),
        max_size=60,
    ),
    EPSILONS,
    st.sampled_from([0.1, 0.9]),
)
@settings(max_examples=300, deadline=None)
def test_decoder_follows_the_encoder(
    elements: list[tuple[int, float, float]], epsilon: float, deviation: float
) -> None:
    levels = np.array([level for level, _, _ in elements], np.int64)
    logs = np.log(LEVELS[levels]) + np.clip([offset * epsilon for _, offset, _ in elements], -3, 3)
    shifts = np.array([shift for _, _, shift in elements]) * deviation * epsilon
    scales, decoder_scales = np.exp(logs), np.exp(logs + shifts)
    indexes = decode_guard(encode_guard(scales, epsilon), decoder_scales, epsilon)
    np.testing.assert_array_equal(indexes, scale_indexes(scales))


@pytest.mark.parametrize("epsilon", sorted(EPSILON.values()))
def test_every_level_from_both_sides(epsilon: float) -> None:
    offsets = np.linspace(-1.5, 1.5, 31) * epsilon
    encoder, decoder = np.meshgrid(offsets, offsets)
    close = np.abs(encoder - decoder) < 0.99 * epsilon
    scales = LEVELS[:, None] * np.exp(encoder[close])
    decoder_scales = LEVELS[:, None] * np.exp(decoder[close])
    indexes = decode_guard(encode_guard(scales, epsilon), decoder_scales, epsilon)
    np.testing.assert_array_equal(indexes, scale_indexes(scales))
    # The list is what does it: on its own the decoder takes the other side of many.
    assert (scale_indexes(decoder_scales) != scale_indexes(scales)).mean() > 0.1


def test_damaged_lists() -> None:
    scales = np.full(200, LEVELS[9])
    data = encode_guard(scales[:2])
    for length in range(len(data)):
        with pytest.raises((TruncatedStream, DamagedSection), match="GUARD"):
            decode_guard(data[:length], scales)
    with pytest.raises(DamagedSection, match="left over"):
        decode_guard(data + b"\0", scales)
    with pytest.raises(DamagedSection, match="element 3 of 3"):
        decode_guard(bytes([1, 6]), scales[:3])
    with pytest.raises(DamagedSection, match="more than"):
        decode_guard(bytes([0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), scales)
    with pytest.raises(DamagedSection, match="more than"):
        decode_guard(encode_guard(scales), scales, count_limit=199)
    with pytest.raises(DamagedSection, match="longer than"):
        decode_guard(bytes([1]) + b"\xff" * 9, scales)
    with pytest.raises(DamagedSection, match="padded"):
        decode_guard(bytes([0x80, 0x00]), scales)


def test_a_listed_scale_must_be_near_a_level() -> None:
    data = encode_guard(np.array([1.0, LEVELS[20]]))
    with pytest.raises(SymbolMismatch, match="element 1 "):
        decode_guard(data, np.array([1.0, LEVELS[20] * 1.001]))


def test_wrong_arguments() -> None:
    for epsilon in (0.0, -1.0, 0.1):
        with pytest.raises(ValueError, match="epsilon"):
            ambiguous([1.0], epsilon)
    with pytest.raises(ValueError, match="not a number"):
        scale_indexes([1.0, np.nan])
