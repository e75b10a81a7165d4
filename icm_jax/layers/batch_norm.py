"""Batch normalisation with PyTorch's running statistics."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

EPSILON = 1e-5
KEPT = 0.9  # of the running statistics at every step; PyTorch's momentum is 1 - this


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(var + 1e-5) · scale + bias, statistics over batch and positions.

    In training the batch's own statistics normalise (its variance over n) and the running ones move towards them (its
    variance over n - 1, where Flax's own module takes n). They are the collection "batch_stats": `mean`, `var`.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b h w c"]:
        shape = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        batch_mean, batch_var = mean.value, var.value
        if train:
            wide = x.astype(jnp.float32)
            batch_mean, batch_var = wide.mean((0, 1, 2)), wide.var((0, 1, 2))
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                count = x.size // x.shape[-1]
                mean.value = KEPT * mean.value + (1 - KEPT) * batch_mean
                var.value = KEPT * var.value + (1 - KEPT) * batch_var * (count / max(count - 1, 1))
        factor = scale * jax.lax.rsqrt(batch_var + EPSILON)
        return x * factor.astype(x.dtype) + (bias - batch_mean * factor).astype(x.dtype)
