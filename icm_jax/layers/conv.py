"""Strided and transposed convolutions with the field's padding.

    Conv    x [b, h, w, in]  ->  [b, ceil(h/s), ceil(w/s), out]    padding floor(k/2) on every side
    Deconv  x [b, h, w, in]  ->  [b, 2h, 2w, out]                  padding floor(k/2), output padding 1

No activation follows a convolution of TIC, so the modules hold a kernel and a bias and nothing else. They multiply
in the dtype that `layers.dense.in_one_dtype` says.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import at_least_float32, in_one_dtype, matmul

Initializer = Callable[..., Array]


def initializers(kind: str, fan_in: int) -> tuple[Initializer, Initializer]:
    """Initial kernels and biases.

    "uniform": both U(±1/√fan_in), what the published codecs start from. "lecun": normal kernels of variance
    1/fan_in and zero biases, which keep signals at their size through a network without norms. "zeros": a branch
    that adds nothing at the start.
    """
    if kind == "zeros":
        return nn.initializers.zeros, nn.initializers.zeros
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
    if kernel.shape[:2] == (1, 1) and stride == 1:
        return matmul(x, kernel[0, 0])  # XLA differentiates it up to 1.7 times as fast as a convolution
    pad = kernel.shape[0] // 2
    if stride == 1 and _is_few(kernel):
        return _convolve_then_shift(x, kernel)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _is_few(kernel: Float[Array, "k k c d"]) -> bool:
    """Whether the products of a few taps with a pixel are fewer numbers than the pixel itself."""
    return 4 * kernel.shape[3] < kernel.shape[2]


def _convolve_then_shift(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "b h w d"]:
    """A convolution along rows with every row of the kernel as outputs of its own; then the sum of shifted rows.

    A few outputs leave vector registers half empty, k times as many fill them. On a CPU the gradient is twice as fast.
    """
    k, _, c, d = kernel.shape
    h, pad = x.shape[1], k // 2
    rows = jax.lax.conv_general_dilated(
        x,
        kernel.transpose(1, 2, 0, 3).reshape(1, k, c, k * d),
        (1, 1),
        ((0, 0), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    rows = jnp.pad(rows, ((0, 0), (pad, pad), (0, 0), (0, 0)))
    terms = (rows[:, i : i + h, :, i * d : (i + 1) * d] for i in range(k))
    return sum(terms, start=jnp.zeros((), rows.dtype))


def deconv2d(x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]) -> Float[Array, "b h2 w2 d"]:
    """Transposed convolution, stride 2, that exactly doubles the size; kernel taps as in PyTorch's (not flipped).

    Equal, up to rounding, to inserting zeros and correlating, but no zero is ever multiplied, and on a CPU the
    gradient is many times as fast: XLA has no good kernel for that of a dilated convolution. k is odd, not 1.
    """
    # An image has few channels: the products of all taps with a pixel are fewer numbers than the pixel itself,
    # so they are shifted and not the pixels. Each way is the faster one where it is taken, up to six times.
    return _multiply_then_shift(x, kernel) if _is_few(kernel) else _four_convolutions(x, kernel)


def _phase_taps(kernel_size: int, phase: int) -> tuple[list[int], list[int]]:
    """Taps t and offsets d that meet in every second output: out[2i + phase] = sum of x[i + d] · kernel[t]."""
    pad = kernel_size // 2
    taps = [t for t in reversed(range(kernel_size)) if (t - phase - pad) % 2 == 0]
    return taps, [(phase + pad - t) // 2 for t in taps]


def _four_convolutions(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "b h2 w2 d"]:
    """One ordinary convolution an output phase, each with its own quarter of the taps."""
    b, h, w, _ = x.shape
    phases = [_phase_taps(kernel.shape[0], phase) for phase in (0, 1)]
    outputs = [
        jax.lax.conv_general_dilated(
            x,
            kernel[rows[0] :: -2, cols[0] :: -2],
            (1, 1),
            ((-row_offsets[0], row_offsets[-1]), (-col_offsets[0], col_offsets[-1])),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        for rows, row_offsets in phases
        for cols, col_offsets in phases
    ]
    rows = [jnp.stack(outputs[:2], axis=3), jnp.stack(outputs[2:], axis=3)]
    return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, -1)


def _multiply_then_shift(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "b h2 w2 d"]:
    """Every pixel times every tap in one product; then, for each phase, the sum of what its neighbours give."""
    b, h, w, c = x.shape
    k, _, _, d = kernel.shape
    products = x.reshape(-1, c) @ kernel.transpose(2, 0, 1, 3).reshape(c, -1)
    rows = _sum_phases(products.reshape(b, h, w, k, k, d), axis=1, tap_axis=3)
    return _sum_phases(rows, axis=3, tap_axis=4).reshape(b, 2 * h, 2 * w, d)


def _sum_phases(products: Array, axis: int, tap_axis: int) -> Array:
    """Sums over the taps of one axis: `tap_axis` goes, and the two phases stand behind `axis`."""

    def neighbour(tap: int, offset: int) -> Array:
        shift = [(0, 0, 0)] * (products.ndim - 1)
        shift[axis] = (-offset, offset, 0)
        term = jax.lax.index_in_dim(products, tap, tap_axis, keepdims=False)
        return jax.lax.pad(term, jnp.zeros((), term.dtype), shift)

    phases = [
        sum(
            neighbour(tap, offset)
            for tap, offset in zip(*_phase_taps(products.shape[tap_axis], a), strict=True)
        )
        for a in (0, 1)
    ]
    return jnp.stack(phases, axis + 1)


class Conv(nn.Module):
    """Convolution k×k, with bias unless `use_bias` is off; see `conv2d`.

    Attributes:
        in_float32: multiply in float32 or better even with a kernel of 16 bits, for inputs beyond float16.
    """

    features: int
    kernel_size: int
    stride: int = 1
    initializer: str = "uniform"
    use_bias: bool = True
    in_float32: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws d"]:
        k, c_in = self.kernel_size, x.shape[-1]
        kernel_init, bias_init = initializers(self.initializer, c_in * k * k)
        kernel = self.param("kernel", kernel_init, (k, k, c_in, self.features))
        x, kernel = in_one_dtype(x, at_least_float32(kernel) if self.in_float32 else kernel)
        y = conv2d(x, kernel, self.stride)
        return y + self.param("bias", bias_init, (self.features,)).astype(x.dtype) if self.use_bias else y


class PointwiseWeights(nn.Module):
    """Kernel and bias of a convolution 1×1, named and initialised as `Conv`'s, for a caller who multiplies."""

    features: int
    initializer: str = "uniform"

    @nn.compact
    def __call__(self, c_in: int) -> tuple[Float[Array, "c d"], Float[Array, " d"]]:
        kernel_init, bias_init = initializers(self.initializer, c_in)
        kernel = self.param("kernel", kernel_init, (1, 1, c_in, self.features))
        return kernel[0, 0], self.param("bias", bias_init, (self.features,))


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
        x, kernel = in_one_dtype(x, kernel)
        return deconv2d(x, kernel) + bias.astype(x.dtype)
