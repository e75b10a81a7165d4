"""Two machines whose coordinates differ in the last bits give the same cells, step by step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icm_jax.bitstream import DamagedSection, SymbolMismatch, TruncatedStream
from icm_jax.bitstream.cell_guard import EPSILON, CellGuardReader, CellGuardWriter


def test_cells_are_bounded_by_whole_numbers() -> None:
    cells = CellGuardWriter().cells(np.array([-0.5, 0.0, 0.2, 1.0, 1.0000001, 62.5]))
    np.testing.assert_array_equal(cells, [0, 0, 1, 1, 2, 63])
    assert cells.dtype == np.int64


def test_nothing_near_a_boundary_is_one_zero_byte() -> None:
    writer = CellGuardWriter()
    writer.cells(np.array([0.5, 1.5]))
    assert writer.list_bytes() == b"\0" == CellGuardWriter().list_bytes()


@given(
    steps=st.lists(st.integers(0, 7), min_size=1, max_size=6),
    near=st.sampled_from([0.0, 1e-9, 0.9 * EPSILON, 1.1 * EPSILON, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_deviating_coordinates_give_the_encoders_cells(steps: list[int], near: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    writer = CellGuardWriter()
    coordinates = [rng.integers(-5, 70, n) + rng.choice([-near, near, 0.4], n) for n in steps]
    cells = [writer.cells(values) for values in coordinates]
    reader = CellGuardReader(writer.list_bytes(), sum(steps))
    for values, expected in zip(coordinates, cells, strict=True):
        deviating = values + rng.uniform(-0.99, 0.99, len(values)) * EPSILON
        np.testing.assert_array_equal(reader.cells(deviating), expected)


def test_a_listed_element_far_from_every_boundary_is_a_disagreement() -> None:
    writer = CellGuardWriter()
    writer.cells(np.array([0.5]))
    writer.cells(np.array([3.0]))
    reader = CellGuardReader(writer.list_bytes(), 2)
    reader.cells(np.array([0.5]))
    with pytest.raises(SymbolMismatch, match="element 1"):
        reader.cells(np.array([3.0 + 3 * EPSILON]))


@pytest.mark.parametrize("data", [b"", b"\x02\x00", b"\x01\x04", b"\x00\x00", b"\x03\x00\x00\x00"])
def test_damaged_lists(data: bytes) -> None:
    with pytest.raises((DamagedSection, TruncatedStream)):
        CellGuardReader(data, 2)
