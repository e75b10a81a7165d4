"""16-bit integer CDF tables: the only form in which the coder sees a probability model.

    masses of the symbols + escape mass  ->  integer_cdf  ->  rows of CdfTables (cdf, length, offset)

The arithmetic is CompressAI's, in float32 and in its order, so that a codec converted from PyTorch gets the
very tables its streams were written with. NumPy and SciPy rather than JAX: a table must not depend on the
backend that happens to export it.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from icm_jax.bitstream.tables import TOTAL, CdfTables
from icm_jax.entropy.factorized import LAYERS, TAIL_MASS
from icm_jax.entropy.gaussian import SCALE_BOUND
from icm_jax.errors import IcmError

SCALE_MAX = 256.0
SCALE_LEVELS = 64


def default_scale_table() -> Float[np.ndarray, "levels"]:
    """The 64 standard deviations of the Gaussian tables: 0.11 … 256, evenly spaced in the logarithm."""
    first, last = np.float32(np.log(SCALE_BOUND)), np.float32(np.log(SCALE_MAX))
    step = float((last - first) / np.float32(SCALE_LEVELS - 1))
    i = np.arange(SCALE_LEVELS)
    # Counted from the nearer end with a float32 step, as PyTorch's linspace does: another last bit of a level
    # would change counts in its table.
    logs = np.where(i < SCALE_LEVELS // 2, first + step * i, last - step * (SCALE_LEVELS - 1 - i))
    return _exp(logs.astype(np.float32))


def centred_scale_table() -> Float[np.ndarray, "levels"]:
    """The middles, in the logarithm, of the intervals between levels: what our own codecs cut their tables for.

    An index says that a scale lies between two levels. A table for the upper one, as CompressAI has it, is too
    wide for nearly every scale that uses it and costs up to 1.3 % of the bits; the middle costs a tenth of that.
    """
    levels = default_scale_table()
    return np.concatenate([levels[:1], np.sqrt(levels[1:] * levels[:-1])])


def integer_cdf(masses: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n1"]:
    """Cumulative counts from 0 to 2^16 for float32 masses; every symbol keeps at least one count.

    Raises:
        IcmError: a mass is negative or not finite, or there are more symbols than counts.
    """
    masses = np.asarray(masses, np.float32)
    if not np.isfinite(masses).all() or (masses < 0).any() or masses.sum() == 0:
        raise IcmError("masses must be finite, not negative, not all zero; check the parameters of the prior")
    if len(masses) > TOTAL:
        raise IcmError(f"{len(masses)} symbols exceed the {TOTAL} counts of a 16-bit table; narrow the range")
    counts = np.floor(masses.astype(np.float64) * TOTAL + 0.5).astype(np.int64)
    counts = counts * TOTAL // max(counts.sum(), 1)
    counts[-1] += TOTAL - counts.sum()
    for i in np.flatnonzero(counts == 0):
        # A symbol of width zero could not be coded: it takes one count from the narrowest that can spare it.
        counts[np.where(counts > 1, counts, TOTAL + 1).argmin()] -= 1
        counts[i] = 1
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def gaussian_tables(scale_table: Float[np.ndarray, "levels"] | None = None) -> CdfTables:
    """One row a level of the scale table (default: 64 levels), for the symbols round(y - mean)."""
    levels = default_scale_table() if scale_table is None else np.asarray(scale_table, np.float32)
    tail = -special.ndtri(TAIL_MASS / 2)
    half_widths = np.ceil(levels * np.float32(tail)).astype(np.int32)
    rows = []
    for level, half_width in zip(levels, half_widths, strict=True):
        distance = np.abs(np.arange(-half_width, half_width + 1)).astype(np.float32)
        lower = _standard_cdf((np.float32(-0.5) - distance) / level)
        upper = _standard_cdf((np.float32(0.5) - distance) / level)
        rows.append(integer_cdf(np.append(upper - lower, 2 * lower[0])))
    return stack_rows(rows, -half_widths)


def factorized_tables(z_prior: Mapping[str, np.ndarray]) -> CdfTables:
    """One row a channel of z, for the symbols round(z - median).

    Args:
        z_prior: parameters of `FactorizedPrior` (`matrix{i}`, `bias{i}`, `factor{i}`, `quantiles`).
    """
    params = {name: np.asarray(value, np.float32) for name, value in z_prior.items()}
    low, median, high = params["quantiles"][:, 0].T
    below = np.maximum(np.ceil(median - low), 0).astype(np.int32)
    above = np.maximum(np.ceil(high - median), 0).astype(np.int32)
    lengths = below + above + 1
    # All channels are sampled on one common length: the reference takes the upper tail at its end, not at the
    # channel's own last symbol, and its tables have to come out the same.
    samples = np.arange(lengths.max(), dtype=np.float32) + (median - below.astype(np.float32))[:, None]
    lower = _cumulative_logits(params, samples - np.float32(0.5))
    upper = _cumulative_logits(params, samples + np.float32(0.5))
    sign = -np.sign(lower + upper)
    masses = np.abs(_sigmoid(sign * upper) - _sigmoid(sign * lower))
    escapes = _sigmoid(lower[:, 0]) + _sigmoid(-upper[:, -1])
    rows = [
        integer_cdf(np.append(mass[:length], escape))
        for mass, length, escape in zip(masses, lengths, escapes, strict=True)
    ]
    return stack_rows(rows, -below)


def stack_rows(rows: list[np.ndarray], offsets: np.ndarray) -> CdfTables:
    """Rows of different lengths, zero-filled to the longest."""
    lengths = np.array([len(row) for row in rows], np.int32)
    cdf = np.zeros((len(rows), lengths.max()), np.int32)
    for target, row in zip(cdf, rows, strict=True):
        target[: len(row)] = row
    return CdfTables(cdf, lengths, offsets.astype(np.int32))


def _standard_cdf(t: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    return np.float32(0.5) * special.erfc(np.float32(-(2**-0.5)) * t)


def _cumulative_logits(
    params: Mapping[str, np.ndarray], values: Float[np.ndarray, "c n"]
) -> Float[np.ndarray, "c n"]:
    """`factorized.cumulative_logits` in float32 steps."""
    t = values[:, None, :]
    for i in range(LAYERS):
        t = _matmul(_softplus(params[f"matrix{i}"]), t) + params[f"bias{i}"]
        if i < LAYERS - 1:
            t = t + _tanh(params[f"factor{i}"]) * _tanh(t)
    return t[:, 0]


# Counts are rounded masses, so the last bit of a mass matters where it meets a half. Every step below is the
# float32 rounding of the exact value: no dependence on the vector instructions NumPy happens to use.


def _exp(x: np.ndarray) -> np.ndarray:
    return np.exp(np.minimum(x, 88.0).astype(np.float64)).astype(np.float32)  # float32 ends just above e^88


def _tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(x.astype(np.float64)).astype(np.float32)


def _matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(_exp(-np.abs(x)).astype(np.float64)).astype(np.float32)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.float32(1) / (np.float32(1) + _exp(-x))
