"""Depthwise convolution: every channel with a kernel of its own."""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.conv import initializers
from icm_jax.layers.dense import Initializer


def depthwise(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k 1 c"], stride: int = 1
) -> Float[Array, "b hs ws c"]:
    """Odd k: zero padding floor(k/2), any stride. Even k: stride k, no padding but zeros up to whole steps.

    As sums of shifted products, which XLA fuses into one pass; its grouped convolutions are far slower on a CPU,
    in float64 above all.
    """
    k, (h, w) = kernel.shape[0], x.shape[1:3]
    if k % 2 == 0:
        x = jnp.pad(x, ((0, 0), (0, -h % k), (0, -w % k), (0, 0)))
        cells = x.reshape(len(x), x.shape[1] // k, k, x.shape[2] // k, k, x.shape[3])
        return (cells * kernel[:, None, :, 0]).sum((2, 4))
    pad = k // 2
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    taps = (
        x[:, i : i + h : stride, j : j + w : stride] * kernel[i, j, 0] for i in range(k) for j in range(k)
    )
    return sum(taps, start=jnp.zeros((), x.dtype))


class DepthwiseConv(nn.Module):
    """See `depthwise`. Kernel layout [k, k, 1, c]."""

    kernel_size: int
    stride: int = 1
    use_bias: bool = True
    kernel_init: Initializer | None = None  # default: that of other convolutions

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws c"]:
        k, channels = self.kernel_size, x.shape[-1]
        kernel_init, bias_init = initializers("uniform", k * k)
        kernel = self.param("kernel", self.kernel_init or kernel_init, (k, k, 1, channels))
        y = depthwise(x, kernel.astype(x.dtype), self.stride)
        return y + self.param("bias", bias_init, (channels,)).astype(x.dtype) if self.use_bias else y
