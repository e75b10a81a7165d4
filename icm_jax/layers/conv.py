"""Strided and transposed convolutions with the field's padding.

    Conv    x [b, h, w, in]  ->  [b, ceil(h/s), ceil(w/s), out]    padding floor(k/2) on every side
    Deconv  x [b, h, w, in]  ->  [b, 2h, 2w, out]                  padding floor(k/2), output padding 1

No activation follows a convolution of TIC, so the modules hold a kernel and a bias and nothing else.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

Initializer = Callable[..., Array]


def initializers(kind: str, fan_in: int) -> tuple[Initializer, Initializer]:
    """Initial kernels and biases.

    "uniform": both U(±1/√fan_in), what the published codecs start from. "lecun": normal kernels of variance
    1/fan_in and zero biases, which keep signals at their size through a network without norms.
    """
    if kind == "lecun":
        return nn.initializers.normal(fan_in**-0.5), nn.initializers.zeros
    bound = fan_in**-0.5

    def uniform(key: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return uniform, uniform


def conv2d(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"], stride: int = 1
) -> Float[Array, "b hs ws d"]:
    """Cross-correlation, zero padding floor(k/2) on all four sides."""
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _phase_taps(kernel_size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Which tap of the transposed kernel feeds output phase a from input offset d, for one axis.

    out[2i + a] = sum_d x[i + d] * kernel[a + p - 2d]. Returns (taps [offsets, 2], (pad before, pad after));
    a tap that does not exist has the index `kernel_size`, where the caller keeps a zero.
    """
    pad = kernel_size // 2
    offsets = [
        d for d in range(-kernel_size, kernel_size) if any(0 <= a + pad - 2 * d < kernel_size for a in (0, 1))
    ]
    taps = np.array([[a + pad - 2 * d for a in (0, 1)] for d in offsets])
    taps = np.where((taps < 0) | (taps >= kernel_size), kernel_size, taps)
    return taps, (-offsets[0], offsets[-1])


def deconv2d(x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]) -> Float[Array, "b h2 w2 d"]:
    """Transposed convolution, stride 2, that exactly doubles the size; kernel taps as in PyTorch's (not flipped).

    Written as one ordinary convolution with four times the output channels and a depth-to-space step: equal to
    the zero-inserting form up to rounding, and its gradient is an order of magnitude faster on a CPU, where XLA
    has no good kernel for the gradient of a dilated convolution.
    """
    k, _, c_in, c_out = kernel.shape
    taps, pad = _phase_taps(k)
    padded = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    phases = padded[taps[:, None, :, None], taps[None, :, None, :]]  # [d, d, 2, 2, c_in, c_out]
    n = len(taps)
    phases = phases.transpose(0, 1, 4, 2, 3, 5).reshape(n, n, c_in, 4 * c_out)
    out = jax.lax.conv_general_dilated(
        x, phases, (1, 1), (pad, pad), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return depth_to_space(out)


def depth_to_space(x: Float[Array, "b h w c4"]) -> Float[Array, "b h2 w2 c"]:
    """[b, h, w, (2, 2, c)] -> [b, 2h, 2w, c]."""
    b, h, w, c4 = x.shape
    return x.reshape(b, h, w, 2, 2, c4 // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c4 // 4)


class Conv(nn.Module):
    """Convolution k×k with bias; see `conv2d`."""

    features: int
    kernel_size: int
    stride: int = 1
    initializer: str = "uniform"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws d"]:
        k, c_in = self.kernel_size, x.shape[-1]
        kernel_init, bias_init = initializers(self.initializer, c_in * k * k)
        kernel = self.param("kernel", kernel_init, (k, k, c_in, self.features))
        bias = self.param("bias", bias_init, (self.features,))
        return conv2d(x, kernel.astype(x.dtype), self.stride) + bias.astype(x.dtype)


class Deconv(nn.Module):
    """Transposed convolution k×k, stride 2, with bias; see `deconv2d`. Kernel layout [k, k, in, out]."""

    features: int
    kernel_size: int
    initializer: str = "uniform"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        k, c_in = self.kernel_size, x.shape[-1]
        # "uniform": PyTorch takes the fan-in from the output channels. Else: taps that meet in one output position.
        fan_in = self.features * k * k if self.initializer == "uniform" else max(1, c_in * k * k // 4)
        kernel_init, bias_init = initializers(self.initializer, fan_in)
        kernel = self.param("kernel", kernel_init, (k, k, c_in, self.features))
        bias = self.param("bias", bias_init, (self.features,))
        return deconv2d(x, kernel.astype(x.dtype)) + bias.astype(x.dtype)
