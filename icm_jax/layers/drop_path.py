"""Stochastic depth (Huang et al., ECCV 2016)."""

import jax
from jax import Array
from jaxtyping import Float


def drop_path(branch: Float[Array, "b ..."], rate: float | Array, key: Array) -> Float[Array, "b ..."]:
    """A residual branch, dropped for whole images with probability `rate`, divided by 1 - rate where kept."""
    shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
    keep = jax.random.bernoulli(key, 1.0 - rate, shape)
    return branch * keep.astype(branch.dtype) / (1.0 - rate)
