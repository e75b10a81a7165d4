"""Integer tables against those that CompressAI made, and what every table has to satisfy."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icm_jax.bitstream.tables import TOTAL, validate
from icm_jax.entropy.tables import default_scale_table, factorized_tables, gaussian_tables, integer_cdf
from icm_jax.errors import IcmError

GOLDEN = Path(__file__).parents[1] / "golden" / "tic" / "tic_small_N32M48.npz"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as archive:
        return {
            name: archive[name] for name in archive.files if name.startswith(("eb_", "gc_", "sd/entropy"))
        }


def test_scale_table(golden: dict[str, np.ndarray]):
    assert np.array_equal(default_scale_table(), golden["gc_scale_table"])


def test_gaussian_tables(golden: dict[str, np.ndarray]):
    tables = gaussian_tables()
    assert np.array_equal(tables.length, golden["gc_cdf_length"])
    assert np.array_equal(tables.offset, golden["gc_offset"])
    assert np.array_equal(tables.cdf[0], golden["gc_quantized_cdf_row0"])
    assert np.array_equal(tables.cdf[20], golden["gc_quantized_cdf_row20"])
    assert np.array_equal(tables.cdf[63, :200], golden["gc_quantized_cdf_row63_first200"])


def test_factorized_tables(golden: dict[str, np.ndarray]):
    prefix = "sd/entropy_bottleneck."
    z_prior = {
        name.removeprefix(prefix).lstrip("_"): a for name, a in golden.items() if name.startswith(prefix)
    }
    tables = factorized_tables(z_prior)
    assert np.array_equal(tables.cdf, golden["eb_quantized_cdf"])
    assert np.array_equal(tables.length, golden["eb_cdf_length"])
    assert np.array_equal(tables.offset, golden["eb_offset"])


def test_tables_are_what_the_coder_accepts(golden: dict[str, np.ndarray]):
    validate(gaussian_tables())
    validate(gaussian_tables(np.array([0.11, 3.0])))


def test_far_quantiles_do_not_overflow(golden: dict[str, np.ndarray]):
    """A channel far longer than another has logits of -10^4 at its ends."""
    prefix = "sd/entropy_bottleneck."
    z_prior = {
        name.removeprefix(prefix).lstrip("_"): a for name, a in golden.items() if name.startswith(prefix)
    }
    quantiles = z_prior["quantiles"].astype(np.float32)
    quantiles[3, 0] = -4000, 0, 5000
    tables = validate(factorized_tables(z_prior | {"quantiles": quantiles}))
    assert (tables.offset[3], tables.length[3]) == (-4000, 9003)


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=300).filter(lambda masses: sum(masses) > 1e-3)
)
def test_every_symbol_keeps_a_count(masses: list[float]):
    normalised = np.array(masses, np.float32) / np.float32(sum(masses))
    cdf = integer_cdf(normalised)
    assert (cdf[0], cdf[-1]) == (0, TOTAL)
    assert (np.diff(cdf) >= 1).all()
    # A mass moves by its rounding and renormalisation, and by the counts it gives away.
    assert np.abs(np.diff(cdf) / TOTAL - normalised).max() <= (2 * len(masses) + 2) / TOTAL


def test_zero_width_takes_from_the_narrowest():
    masses = np.array([0.0, 0.5, 3 / TOTAL, 0.0, 3 / TOTAL, 0.5 - 6 / TOTAL], np.float32)
    # Entry 0 takes one from entry 2, the first of the two narrowest; then entry 2 is the narrowest with 2.
    assert np.diff(integer_cdf(masses)).tolist() == [1, TOTAL // 2, 1, 1, 3, TOTAL // 2 - 6]


@pytest.mark.parametrize("masses", [[0.5, np.nan], [1.2, -0.2], [0.0, 0.0]])
def test_masses_that_are_none_are_refused(masses: list[float]):
    with pytest.raises(IcmError, match="masses must be finite"):
        integer_cdf(np.array(masses, np.float32))


def test_too_many_symbols_are_refused():
    with pytest.raises(IcmError, match="65537 symbols exceed the 65536 counts"):
        integer_cdf(np.full(TOTAL + 1, 1 / TOTAL, np.float32))


@pytest.mark.parity
def test_all_rows_equal_pytorchs_arithmetic():
    """The golden file holds three of the 64 Gaussian rows; here all masses come from PyTorch."""
    torch = pytest.importorskip("torch")
    levels = torch.exp(torch.linspace(float(np.log(0.11)), float(np.log(256)), 64))
    assert np.array_equal(levels.numpy(), default_scale_table())
    tables = gaussian_tables()
    half_widths = -tables.offset
    distance = [torch.arange(-int(w), int(w) + 1).abs().float() for w in half_widths]
    phi = lambda t: 0.5 * torch.erfc(-(2**-0.5) * t)  # noqa: E731
    for row, (level, d) in enumerate(zip(levels, distance, strict=True)):
        lower = phi((-0.5 - d) / level)
        masses = torch.cat([phi((0.5 - d) / level) - lower, 2 * lower[:1]]).numpy()
        assert np.array_equal(tables.cdf[row, : tables.length[row]], integer_cdf(masses))
