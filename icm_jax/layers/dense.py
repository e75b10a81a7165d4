"""Linear layer, layer norm and GELU, written so that XLA also differentiates them fast on a CPU.

Values, parameter names and shapes are those of `nn.Dense`, `nn.LayerNorm(epsilon=1e-5)` and
`nn.gelu(approximate=False)`; ratios below are measured on one core, see docs/performance.md.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

dense_init = nn.initializers.truncated_normal(0.02)


class Dense(nn.Module):
    """x · kernel + bias over the last axis."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b d"]:
        kernel = self.param("kernel", dense_init, (x.shape[-1], self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        # Two axes only: with more, the gradient of the kernel comes out transposed and takes three to five
        # times as long on a CPU.
        rows = x.reshape(-1, x.shape[-1])
        out = rows @ kernel.astype(x.dtype) + bias.astype(x.dtype)
        return out.reshape(*x.shape[:-1], self.features)


@jax.custom_jvp
def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x · Φ(x), exact. Through erf, which is three times as fast as the erfc of `nn.gelu`."""
    return x * _normal_cdf(x)


@gelu.defjvp
def _gelu_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    cdf = _normal_cdf(x)
    density = jnp.exp(-0.5 * x * x) * (2 * math.pi) ** -0.5
    return x * cdf, (cdf + x * density) * dx


def _normal_cdf(x: Array) -> Array:
    return 0.5 + 0.5 * jax.lax.erf(x * 0.5**0.5)
