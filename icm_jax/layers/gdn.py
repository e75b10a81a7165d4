"""Generalised divisive normalisation (Ballé, Laparra and Simoncelli, ICLR 2016).

    GDN      y_i = x_i / √(β_i + Σ_j γ_ij · x_j²)
    inverse  y_i = x_i · √(β_i + Σ_j γ_ij · x_j²)

β and γ must not become negative. Stored are √(β + 2⁻³⁶) and √(γ + 2⁻³⁶), bounded from below before they are squared;
the offset keeps the gradient of an entry at zero alive. This is CompressAI's form, parameter for parameter.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.entropy.bounds import lower_bound
from icm_jax.layers.dense import in_one_dtype, matmul

BETA_MIN = 1e-6
GAMMA_START = 0.1
PEDESTAL = 2.0**-36


class GDN(nn.Module):
    """Parameters `beta` [c] and `gamma` [c from, c to], both as stored above."""

    inverse: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        beta = self.param("beta", nn.initializers.constant((1 + PEDESTAL) ** 0.5), (channels,))
        gamma = self.param("gamma", _scaled_identity, (channels, channels))
        squares, gamma = in_one_dtype(x * x, _non_negative(gamma))
        norm = jnp.sqrt(matmul(squares, gamma) + _non_negative(beta, BETA_MIN).astype(squares.dtype))
        return x * norm if self.inverse else x / norm


def _non_negative(stored: Float[Array, "..."], minimum: float = 0.0) -> Float[Array, "..."]:
    """What a stored parameter stands for, at least `minimum`."""
    return lower_bound(stored, (minimum + PEDESTAL) ** 0.5) ** 2 - PEDESTAL


def _scaled_identity(key: Array, shape: tuple[int, int]) -> Float[Array, "c c"]:
    del key
    return jnp.sqrt(GAMMA_START * jnp.eye(shape[0]) + PEDESTAL)
