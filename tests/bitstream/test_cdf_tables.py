"""Only tables that keep the coder inside its arrays are let through."""

import numpy as np
import pytest

from icm_jax.bitstream import CdfTables, validate

INT32_MAX = np.iinfo(np.int32).max


def _tables(row: list[int], length: int | None = None, offset: int = 0) -> CdfTables:
    used = len(row) if length is None else length
    return CdfTables(np.array([row], np.int32), np.array([used], np.int32), np.array([offset], np.int32))


def test_accepts_the_tables_of_a_codec(gaussian_tables: CdfTables, factorized_tables: CdfTables) -> None:
    for tables in (gaussian_tables, factorized_tables):
        for given, checked in zip(tables, validate(tables), strict=True):
            np.testing.assert_array_equal(given, checked)


def test_ignores_what_lies_beyond_the_length() -> None:
    validate(_tables([0, 5, 1 << 16, -7, 9], length=3))


def test_makes_strided_tables_contiguous() -> None:
    wide = np.zeros((2, 6), np.int32)
    wide[:, ::2] = [0, 9, 1 << 16]
    checked = validate(CdfTables(wide[:, ::2], np.full(2, 3, np.int32), np.zeros(2, np.int32)))
    assert checked.cdf.flags.c_contiguous


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (_tables([0, 1 << 16]), "length"),
        (_tables([0, 5, 1 << 16], length=4), "length"),
        (_tables([0, 5, 1 << 16], length=-1), "length"),
        (_tables([1, 5, 1 << 16]), "from 0 to 65536"),
        (_tables([0, 5, 65535]), "from 0 to 65536"),
        (_tables([0, 5, 5, 1 << 16]), "rise strictly"),
        (_tables([0, 9, 5, 1 << 16]), "rise strictly"),
        # The difference of the middle two, taken in int32, would be +1.
        (_tables([0, INT32_MAX, -INT32_MAX - 1, 1 << 16]), "rise strictly"),
        (_tables([0, 5, 1 << 16], offset=INT32_MAX), "offset"),
    ],
)
def test_refuses_what_the_coder_can_not_use(tables: CdfTables, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(tables)


def test_names_the_table_at_fault(gaussian_tables: CdfTables) -> None:
    cdf = gaussian_tables.cdf.copy()
    cdf[17, 2] = cdf[17, 1]
    with pytest.raises(ValueError, match="CDF table 17:"):
        validate(gaussian_tables._replace(cdf=cdf))


def test_refuses_other_types_and_shapes(gaussian_tables: CdfTables) -> None:
    cdf, length, offset = gaussian_tables
    with pytest.raises(ValueError, match="cdf must be int32"):
        validate(CdfTables(cdf.astype(np.int64), length, offset))
    with pytest.raises(ValueError, match="shapes"):
        validate(CdfTables(cdf, length[1:], offset))
    with pytest.raises(ValueError, match="shapes"):
        validate(CdfTables(cdf[:0], length[:0], offset[:0]))
