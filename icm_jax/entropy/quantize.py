"""Quantisers: additive noise for training, rounding for coding, straight-through for its gradient."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


def add_noise(x: Float[Array, "..."], key: Array) -> Float[Array, "..."]:
    """x + U(-0.5, 0.5): the differentiable stand-in for rounding."""
    return x + jax.random.uniform(key, x.shape, x.dtype, -0.5, 0.5)


def round_to(x: Float[Array, "..."], centre: Float[Array, "..."]) -> Float[Array, "..."]:
    """round(x - centre) + centre, half to even (2.5 -> 2), as PyTorch and the published codecs round."""
    return jnp.round(x - centre) + centre


def straight_through(x: Float[Array, "..."], centre: Float[Array, "..."]) -> Float[Array, "..."]:
    """`round_to` forward, identity backward (for x; the centre gets no gradient through the rounding)."""
    return x + jax.lax.stop_gradient(round_to(x, centre) - x)
