"""Linear layer and GELU, written so that XLA also differentiates them fast on a CPU.

Values, parameter names and shapes are those of `nn.Dense` and `nn.gelu(approximate=False)`. What each form gains
is in docs/performance.md.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

Initializer = Callable[..., Array]

dense_init = nn.initializers.truncated_normal(0.02)


class Dense(nn.Module):
    """x · kernel + bias over the last axis.

    Where the collection "adapters" has an entry `adapter` at this module's path, the adapter takes the place of
    the product: it is called with x, the kernel and, if it drops inputs, a random key; see `adapters.low_rank`.
    """

    features: int
    use_bias: bool = True
    kernel_init: Initializer = dense_init

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b d"]:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), jnp.float32)
        adapter = self.get_variable("adapters", "adapter")
        if adapter is None:
            y = matmul(*in_one_dtype(x, kernel))
        else:
            y = adapter(x, kernel, self.make_rng("dropout") if adapter.dropout else None)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(y.dtype)


def in_one_dtype(x: Array, kernel: Array) -> tuple[Array, Array]:
    """Both in the dtype of x, or in that of a kernel of 16 bits, which was cast to it so that products are of it."""
    dtype = kernel.dtype if kernel.dtype.itemsize < 4 else x.dtype
    return x.astype(dtype), kernel.astype(dtype)


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """What leaves a transform for a probability or a difference of pixels: never in 16 bits."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def matmul(x: Float[Array, "*b c"], kernel: Float[Array, "c d"]) -> Float[Array, "*b d"]:
    """x · kernel over the last axis.

    On two axes only: with more, XLA gets the gradient of the kernel transposed and takes three to five times as
    long over it on a CPU.
    """
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[1])


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
