"""Factorised prior: one learned density a channel, from a small monotone network (Ballé et al., 2018).

logit of the cumulative: t <- softplus(matrix)·t + bias;  t <- t + tanh(factor)·tanh(t)   (five layers)
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.entropy.bounds import lower_bound
from icm_jax.entropy.gaussian import LIKELIHOOD_BOUND

FILTERS = (1, 3, 3, 3, 3, 1)
LAYERS = len(FILTERS) - 1
INIT_SCALE = 10.0
TAIL_MASS = 1e-9
QUANTILE_LOGIT = float(
    np.log(2 / TAIL_MASS - 1)
)  # quantiles 0 and 2 sit where the cumulative has ∓ this logit


def cumulative_logits(
    params: Mapping[str, Array], values: Float[Array, "c 1 n"], stop_gradient: bool = False
) -> Float[Array, "c 1 n"]:
    """Logit of the cumulative distribution at `values`, channel by channel."""
    hold = jax.lax.stop_gradient if stop_gradient else (lambda leaf: leaf)
    t = values
    for i in range(LAYERS):
        matrix, bias = hold(params[f"matrix{i}"]), hold(params[f"bias{i}"])
        t = jnp.matmul(jax.nn.softplus(matrix).astype(t.dtype), t, precision=jax.lax.Precision.HIGHEST)
        t = t + bias.astype(t.dtype)
        if i < LAYERS - 1:
            t = t + jnp.tanh(hold(params[f"factor{i}"])).astype(t.dtype) * jnp.tanh(t)
    return t


def interval_mass(lower: Float[Array, "..."], upper: Float[Array, "..."]) -> Float[Array, "..."]:
    """sigmoid(upper) - sigmoid(lower) without cancellation: both are mirrored to where they are small."""
    sign = jnp.where(lower + upper > 0, -1, 1)
    return jnp.abs(jax.nn.sigmoid(sign * upper) - jax.nn.sigmoid(sign * lower))


class FactorizedPrior(nn.Module):
    """Prior of z. Parameters `matrix{i}`, `bias{i}`, `factor{i}` and `quantiles` [channels, 1, 3]."""

    channels: int

    def setup(self) -> None:
        params: dict[str, Array] = {}
        scale = INIT_SCALE ** (1 / LAYERS)
        for i in range(LAYERS):
            rows, cols = FILTERS[i + 1], FILTERS[i]
            start = float(np.log(np.expm1(1 / scale / rows)))
            params[f"matrix{i}"] = self.param(
                f"matrix{i}", nn.initializers.constant(start), (self.channels, rows, cols)
            )
            params[f"bias{i}"] = self.param(f"bias{i}", _centred_uniform, (self.channels, rows, 1))
            if i < LAYERS - 1:
                params[f"factor{i}"] = self.param(
                    f"factor{i}", nn.initializers.zeros, (self.channels, rows, 1)
                )
        self.layers = params
        self.quantiles = self.param("quantiles", _initial_quantiles, (self.channels, 1, 3))

    def medians(self) -> Float[Array, "c"]:
        """Centre of each channel's density: what z is rounded around."""
        return jax.lax.stop_gradient(self.quantiles[:, 0, 1])

    def likelihood(self, z_hat: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Probability of the unit interval around z_hat, at least 1e-9."""
        values = jnp.moveaxis(z_hat, -1, 0).reshape(self.channels, 1, -1)
        mass = interval_mass(
            cumulative_logits(self.layers, values - 0.5), cumulative_logits(self.layers, values + 0.5)
        )
        mass = lower_bound(mass, LIKELIHOOD_BOUND)
        return jnp.moveaxis(mass.reshape(self.channels, *z_hat.shape[:-1]), 0, -1)

    def auxiliary_loss(self) -> Float[Array, ""]:
        """Σ |logits(quantiles) - (-t, 0, t)|: moves the quantiles only, the density is held fixed."""
        target = jnp.array([-QUANTILE_LOGIT, 0.0, QUANTILE_LOGIT], self.quantiles.dtype)
        return jnp.abs(cumulative_logits(self.layers, self.quantiles, stop_gradient=True) - target).sum()


def fit_quantiles(params: Mapping[str, Array]) -> Float[Array, "c 1 3"]:
    """The quantiles solved for by bisection: what training the auxiliary loss to its end would give.

    Used when a codec is exported, so that the integer tables are tight however short the training was.
    """
    target = jnp.array([-QUANTILE_LOGIT, 0.0, QUANTILE_LOGIT])
    channels = params["matrix0"].shape[0]
    low = jnp.full((channels, 1, 3), -1e5)
    high = jnp.full((channels, 1, 3), 1e5)

    def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = 0.5 * (low + high)
        below = cumulative_logits(params, middle) < target
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, 60, halve, (low, high))
    return 0.5 * (low + high)


def _centred_uniform(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, shape, minval=-0.5, maxval=0.5)


def _initial_quantiles(key: Array, shape: tuple[int, ...]) -> Array:
    del key
    return jnp.broadcast_to(jnp.array([-INIT_SCALE, 0.0, INIT_SCALE]), shape)
