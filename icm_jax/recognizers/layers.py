"""What frozen PyTorch networks are made of: explicit padding, groups and dilation, norms with stored statistics.

    Conv      x [b, h, w, in]  ->  [b, ceil(h/s), ceil(w/s), out]    padding dilation·floor(k/2) on every side
    ConvNorm  the same, then the norm

Padding is never "SAME", which puts it on other sides at stride 2.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.conv import conv2d, initializers


class Conv(nn.Module):
    """Convolution k×k, any stride, dilation and groups; without bias unless asked for."""

    features: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws d"]:
        k, c_in = self.kernel_size, x.shape[-1] // self.groups
        kernel_init, bias_init = initializers("lecun", c_in * k * k)
        kernel = self.param("kernel", kernel_init, (k, k, c_in, self.features)).astype(x.dtype)
        if self.groups == x.shape[-1] == self.features:
            y = _depthwise(x, kernel, self.stride, self.dilation)
        elif self.groups == self.dilation == 1:
            y = conv2d(x, kernel, self.stride)
        else:
            y = _grouped(x, kernel, self.stride, self.dilation, self.groups)
        if not self.use_bias:
            return y
        return y + self.param("bias", bias_init, (self.features,)).astype(x.dtype)


class FrozenBatchNorm(nn.Module):
    """Batch normalisation by stored statistics: y = (x - mean) · scale / √(var + eps) + bias.

    The statistics are parameters like the others: nothing here is ever trained.
    """

    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.param("mean", nn.initializers.zeros, shape)
        var = self.param("var", nn.initializers.ones, shape)
        factor = scale / jnp.sqrt(var + self.eps)
        return x * factor.astype(x.dtype) + (bias - mean * factor).astype(x.dtype)


class ConvNorm(nn.Module):
    """A convolution without bias and its batch norm; what activation follows is the caller's."""

    features: int
    kernel_size: int
    stride: int = 1
    groups: int = 1
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws d"]:
        x = Conv(self.features, self.kernel_size, self.stride, groups=self.groups, name="conv")(x)
        return FrozenBatchNorm(self.eps, name="norm")(x)


def max_pool(x: Float[Array, "b h w c"], window: int, stride: int, pad: int = 0) -> Float[Array, "b hs ws c"]:
    """Maxima of windows; what lies outside counts as -inf."""
    return nn.max_pool(x, (window, window), (stride, stride), ((pad, pad), (pad, pad)))


def _depthwise(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    """One filter a channel, as a sum of shifted products: on a CPU 20 to 40 times as fast as XLA's grouped form."""
    k = kernel.shape[0]
    pad = dilation * (k // 2)
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    last = [(size - 1) // stride * stride for size in x.shape[1:3]]

    def tap(row: int, column: int) -> Array:
        start = (0, row * dilation, column * dilation, 0)
        end = (x.shape[0], start[1] + last[0] + 1, start[2] + last[1] + 1, x.shape[3])
        return jax.lax.slice(padded, start, end, (1, stride, stride, 1)) * kernel[row, column, 0]

    taps = [tap(row, column) for row in range(k) for column in range(k)]
    return sum(taps[1:], start=taps[0])


def _grouped(x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> Array:
    pad = dilation * (kernel.shape[0] // 2)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((pad, pad), (pad, pad)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
