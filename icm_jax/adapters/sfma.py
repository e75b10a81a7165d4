"""AdaptICMH: spatial–frequency modulation adapters between the stages of a frozen TIC (Li et al., ECCV 2024).

    x ─┬─► 1×1 ─► depthwise 5×5 ─► · ─► relu ─► 1×1 ──────────────────► s
       ├─► 1×1 ───────────────────┘
       └─► 1×1 ─► FFT ─► amplitude ─► 3×3, relu, 1×1, sigmoid = gate
                   └──────────── · gate ─► inverse FFT ─► relu ─► 1×1 ─► f          out = x + s + f

The gate is computed from the amplitude, so no parameter depends on the size of the image; phases stay.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Complex, Float

from icm_jax.errors import IcmError
from icm_jax.layers.conv import Conv, PointwiseWeights
from icm_jax.layers.dense import at_least_float32, in_one_dtype, matmul
from icm_jax.layers.depthwise import DepthwiseConv
from icm_jax.models.hooks import Adapter, Hooks, Transform
from icm_jax.models.tic import TICSpec

ENCODER_PLACES = ("stb1", "stb3", "stb5")  # after the stacks at H/2, H/4 and H/8
DECODER_PLACES = ("deconv1", "deconv3", "deconv5")  # before the stacks at H/8, H/4 and H/2


class Change(NamedTuple):
    """What an SFMA adds to its input, before the last product: hidden · kernel + bias.

    Attributes:
        hidden: [b, h, w, m] its two branches side by side.
        kernel: [m, c] of the convolutions 1×1 that end them.
        bias: [c] the sum of theirs.
    """

    hidden: Float[Array, "b h w m"]
    kernel: Float[Array, "m c"]
    bias: Float[Array, " c"]

    def features(self) -> Float[Array, "b h w c"]:
        """The sum of the two branches, in one product."""
        hidden, kernel = in_one_dtype(self.hidden, self.kernel)
        return matmul(hidden, kernel) + self.bias.astype(hidden.dtype)

    def mean(self) -> Float[Array, "b 1 1 c"]:
        """Their means over positions, out of those of the few hidden channels."""
        b, h, w, m = self.hidden.shape
        pooled = self.hidden.reshape(b, h * w, m).mean(1)[:, None, None]
        return self._replace(hidden=pooled).features()


class Sfma(nn.Module):
    """x plus a spatial and a frequency branch, each of `middle` channels. FFTs run in float32 or better."""

    middle: int
    zero_init: bool = False

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return x + self.change(x).features()

    @nn.compact
    def change(self, x: Float[Array, "b h w c"]) -> Change:
        """What is added to x."""

        def reduced(name: str) -> Array:
            return Conv(self.middle, 1, name=name)(x)

        def up(name: str) -> tuple[Array, Array]:
            init = "zeros" if self.zero_init else "uniform"
            return PointwiseWeights(x.shape[-1], init, name=name)(self.middle)

        spatial = DepthwiseConv(5, name="s_dw")(reduced("s_down1")) * reduced("s_down2")
        spectrum = jnp.fft.rfft2(at_least_float32(reduced("f_down")), axes=(1, 2))
        gate = nn.relu(DepthwiseConv(3, name="f_dw")(amplitude(spectrum)))
        gate = nn.sigmoid(Conv(self.middle, 1, in_float32=True, name="f_inter")(gate))
        frequency = jnp.fft.irfft2(gate * spectrum, s=x.shape[1:3], axes=(1, 2)).astype(x.dtype)
        (s_kernel, s_bias), (f_kernel, f_bias) = up("s_up"), up("f_up")
        # Side by side as rows of a matrix, the form its product has: XLA would compute them once for each form.
        branches = [nn.relu(branch).reshape(-1, self.middle) for branch in (spatial, frequency)]
        hidden = jnp.concatenate(branches, axis=-1).reshape(*x.shape[:-1], -1)
        return Change(hidden, jnp.concatenate([s_kernel, f_kernel]), s_bias + f_bias)


def amplitude(spectrum: Complex[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """|spectrum|, with gradient 0 where it is 0."""
    square = spectrum.real**2 + spectrum.imag**2
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


@dataclass(frozen=True)
class SfmaSpec:
    """Six SFMAs, three a side.

    Attributes:
        middle: channels inside; the published adapter has 64.
        zero_init: branches start at 0, so that training starts from the base codec; as published they do not.
    """

    middle: int = 64
    zero_init: bool = False

    def __post_init__(self) -> None:
        if self.middle < 1:
            raise IcmError(f"middle={self.middle} must be at least 1")

    @property
    def input_channels(self) -> int:
        """RGB."""
        return 3

    @property
    def pictures(self) -> tuple[str, ...]:
        """One picture."""
        return ("image",)

    def build(self, base: TICSpec) -> Adapter:
        """See `AdapterSpec.build`. Fits any base."""
        return SfmaAdapter(self)


class InsertedSfmas(nn.Module):
    """An SFMA at each of some places, named after it; nothing elsewhere. Serves as `Hooks.after`."""

    places: tuple[str, ...]
    middle: int
    zero_init: bool

    @nn.compact
    def __call__(self, place: str, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return Sfma(self.middle, self.zero_init, name=place)(x) if place in self.places else x


class SfmaAdapter(Adapter):
    """AdaptICMH on TIC."""

    spec: SfmaSpec

    def setup(self) -> None:
        self.g_a = InsertedSfmas(ENCODER_PLACES, self.spec.middle, self.spec.zero_init)
        self.g_s = InsertedSfmas(DECODER_PLACES, self.spec.middle, self.spec.zero_init)

    def analyse(self, g_a: Transform, x: Float[Array, "b h w 3"], train: bool) -> Float[Array, "b hy wy m"]:
        """See `Adapter.analyse`."""
        return g_a(x, train, Hooks(after=self.g_a))

    def synthesise(
        self, g_s: Transform, y_hat: Float[Array, "b hy wy m"], train: bool
    ) -> Float[Array, "b h w 3"]:
        """See `Adapter.synthesise`."""
        return g_s(y_hat, train, Hooks(after=self.g_s))
