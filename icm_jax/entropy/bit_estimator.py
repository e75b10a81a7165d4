"""The learned distribution of z in EVC: a cumulative function of four steps for every channel.

x <- x · softplus(h) + b;  x <- x + tanh(x) · tanh(a)    three times;   then an affine step and a sigmoid
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float
from scipy import special

from icm_jax.bitstream.tables import CdfTables
from icm_jax.entropy.bounds import lower_bound
from icm_jax.entropy.factorized import interval_mass
from icm_jax.entropy.tables import integer_cdf, stack_rows

STEPS = 4
INIT_STD = 0.01
PROBABILITY_OFFSET = 1e-5  # added before the logarithm: no symbol costs more than 16.6 bits
TAIL = 1e-4  # a table ends where less than this lies beyond it ...
MIN_HALF_WIDTH, MAX_HALF_WIDTH = 2, 50  # ... but here at the latest


def bits(probability: Float[Array, "..."]) -> Float[Array, "..."]:
    """-log2 of a probability as EVC bounds it: between 0 and 16.6, with a gradient that can leave the bound."""
    return lower_bound(-jnp.log2(probability + PROBABILITY_OFFSET), 0.0)


class BitEstimator(nn.Module):
    """Prior of z. Parameters `h{i}`, `b{i}` for i < 4 and `a{i}` for i < 3, one number a channel each.

    Attributes:
        exact_tails: see `DualSpatialPrior`.
    """

    channels: int
    exact_tails: bool = True

    def setup(self) -> None:
        names = [f"{kind}{i}" for i in range(STEPS) for kind in ("hba" if i < STEPS - 1 else "hb")]
        init = nn.initializers.normal(INIT_STD)
        self.steps = {name: self.param(name, init, (self.channels,)) for name in names}

    def cumulative(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        """Probability of values up to x."""
        return jax.nn.sigmoid(self.logits(x))

    def logits(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        """log p/(1 - p) of the probability p of values up to x."""
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        for i in range(STEPS):
            h, b = (self.steps[f"{kind}{i}"].astype(x.dtype) for kind in "hb")
            x = x * jax.nn.softplus(h) + b
            if i < STEPS - 1:
                x = x + jnp.tanh(x) * jnp.tanh(self.steps[f"a{i}"].astype(x.dtype))
        return x

    def bits(self, z_hat: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """What every element costs."""
        lower, upper = self.logits(z_hat - 0.5), self.logits(z_hat + 0.5)
        if self.exact_tails:
            return bits(interval_mass(lower, upper))
        return bits(jax.nn.sigmoid(upper) - jax.nn.sigmoid(lower))


def estimator_masses(
    params: Mapping[str, np.ndarray],
) -> list[tuple[int, Float[np.ndarray, "n"], float]]:
    """For every channel: the first symbol of its table, the masses of its symbols, and the mass beyond."""
    width = MAX_HALF_WIDTH
    inner = _cumulative64(params, np.arange(-width, width + 1.0))
    edges = _cumulative64(params, np.arange(-width - 0.5, width + 1.0))
    rows = []
    for at, edge in zip(inner, edges, strict=True):
        below = _first(at[width - MIN_HALF_WIDTH :: -1] < TAIL)
        above = _first(at[width + MIN_HALF_WIDTH :] > 1 - TAIL)
        row = edge[width - below : width + above + 2]
        rows.append((-below, np.diff(row), row[0] + 1 - row[-1]))
    return rows


def estimator_tables(params: Mapping[str, np.ndarray]) -> CdfTables:
    """One row a channel of z, for the symbols round(z). Evaluated in float64."""
    masses = estimator_masses(params)
    rows = [integer_cdf(np.append(inside, beyond).astype(np.float32)) for _, inside, beyond in masses]
    return stack_rows(rows, np.array([first for first, _, _ in masses]))


def _first(reached: np.ndarray) -> int:
    """The smallest half-width at which the tail is short enough."""
    return MIN_HALF_WIDTH + int(reached.argmax()) if reached.any() else MAX_HALF_WIDTH


def _cumulative64(params: Mapping[str, np.ndarray], x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "c n"]:
    """`BitEstimator.cumulative` of every channel at the same places, on the host in float64."""
    values = np.broadcast_to(x, (len(params["h0"]), len(x)))
    columns = {name: np.asarray(leaf, np.float64)[:, None] for name, leaf in params.items()}
    for i in range(STEPS):
        values = values * np.logaddexp(0, columns[f"h{i}"]) + columns[f"b{i}"]
        if i < STEPS - 1:
            values = values + np.tanh(values) * np.tanh(columns[f"a{i}"])
    return special.expit(values)
