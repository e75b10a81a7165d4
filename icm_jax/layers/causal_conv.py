"""The masked convolution over latents that are already decoded (van den Oord et al., 2016; Minnen et al., 2018).

· · · · ·        a 5×5 kernel of which only the taps before the centre, in raster order, exist:
· · · · ·        12 matrices, and not 25 of which 13 are multiplied by zero
· · ?
"""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.conv import initializers
from icm_jax.layers.dense import in_one_dtype, matmul


class CausalConv(nn.Module):
    """Neighbours of any positions (`causal_attention.causal_neighbours`) -> features; `window` is the kernel's side."""

    features: int
    window: int

    @nn.compact
    def __call__(self, neighbours: Float[Array, "*b k c"]) -> Float[Array, "*b d"]:
        taps, channels = neighbours.shape[-2:]
        kernel_init, bias_init = initializers("uniform", channels * self.window**2)  # as if all taps existed
        kernel = self.param("kernel", kernel_init, (taps, channels, self.features))
        bias = self.param("bias", bias_init, (self.features,))
        flat = jnp.reshape(neighbours, (*neighbours.shape[:-2], taps * channels))
        flat, kernel = in_one_dtype(flat, kernel.reshape(-1, self.features))
        return matmul(flat, kernel) + bias.astype(flat.dtype)
