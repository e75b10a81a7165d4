"""TIC+SFT: spatial feature transforms after every stack of g_a, h_a and g_s of a frozen TIC.

    image ─► conditions at H/2 … H/16 ─► γ, β ─► x · (1 + γ) + β     after the stacks of g_a
    y     ─► conditions at H/32, H/64 ─►          the same            after those of h_a
    y_hat ─► conditions at H/16 … H/2 ─►          the same            after those of g_s

The baseline of the TransTIC paper (section 4, figure A3), with the layers of Song et al. (ICCV 2021). Its text leaves
open how wide the condition networks are, and what conditions a decoder that has no image. Here the decoder conditions
itself on y_hat and h_a on y, and widths are chosen so that sizes and costs come near those printed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.layers.conv import Conv, Deconv
from icm_jax.models.hooks import Adapter, Hooks, Transform
from icm_jax.models.tic import TICSpec

SLOPE = 0.1  # of the leaky ReLUs between the convolutions of a condition network


@dataclass(frozen=True)
class SftSpec:
    """Widths of the condition networks, a scale each, in the order of the data; `hidden` inside each transform."""

    encoder_widths: tuple[int, ...] = (160, 160, 160, 256)
    hyper_widths: tuple[int, ...] = (272, 272)
    decoder_widths: tuple[int, ...] = (400, 136, 136, 136)
    hidden: int = 128

    def __post_init__(self) -> None:
        for name, count in (("encoder_widths", 4), ("hyper_widths", 2), ("decoder_widths", 4)):
            if len(getattr(self, name)) != count:
                raise IcmError(f"{name}={getattr(self, name)} must have {count} entries, one a stack")

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
        return SftAdapter(self)


class SftAdapter(Adapter):
    """The three transforms with their conditions. Channels of x beside RGB reach the condition network alone."""

    spec: SftSpec

    def setup(self) -> None:
        spec = self.spec
        self.g_a = Modulation(("stb1", "stb3", "stb5", "stb7"), spec.encoder_widths, spec.hidden)
        self.h_a = Modulation(("stb1", "stb3"), spec.hyper_widths, spec.hidden)
        self.g_s = Modulation(
            ("stb0", "stb2", "stb4", "stb6"), spec.decoder_widths, spec.hidden, upwards=True
        )

    def analyse(self, g_a: Transform, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b hy wy m"]:
        """See `Adapter.analyse`."""
        return g_a(x[..., :3], train, self.g_a.hooks(self.g_a.from_image(x)))

    def hyper_analyse(
        self, h_a: Transform, y: Float[Array, "b hy wy m"], train: bool
    ) -> Float[Array, "b hz wz n"]:
        """See `Adapter.hyper_analyse`."""
        return h_a(y, train, self.h_a.hooks(y))

    def synthesise(
        self, g_s: Transform, y_hat: Float[Array, "b hy wy m"], train: bool
    ) -> Float[Array, "b h w 3"]:
        """See `Adapter.synthesise`."""
        return g_s(y_hat, train, self.g_s.hooks(y_hat))


class Modulation(nn.Module):
    """Conditions at the scale of every place, each from the one before it, and the transform they steer there.

    With `upwards` the first condition has the size of what it is made from and every other is twice as large as the
    one before it; else each is half as large.
    """

    places: tuple[str, ...]
    widths: Sequence[int]
    hidden: int
    upwards: bool = False

    def setup(self) -> None:
        widths = dict(zip(self.places, self.widths, strict=True))
        first = self.places[0]

        def resize(place: str) -> nn.Module:
            if self.upwards and place != first:
                return Deconv(widths[place], 3)
            return Conv(widths[place], 3, stride=1 if self.upwards else 2)

        self.resize = {place: resize(place) for place in self.places}
        self.refine = {place: Conv(width, 3) for place, width in widths.items()}
        self.transform = {place: Sft(self.hidden) for place in self.places}
        self.stem = [Conv(self.widths[0], 3) for _ in range(2)]

    def from_image(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        """Features of an image, at its size, for the first condition to be made from."""
        for conv in self.stem:
            x = nn.leaky_relu(conv(x), SLOPE)
        return x

    def hooks(self, source: Float[Array, "b h w c"]) -> Hooks:
        """Transforms after the stacks at all places."""
        conditions, condition = {}, source
        for place in self.places:
            condition = nn.leaky_relu(self.resize[place](condition), SLOPE)
            condition = nn.leaky_relu(self.refine[place](condition), SLOPE)
            conditions[place] = condition

        def after(place: str, x: Array) -> Array:
            return self.transform[place](x, conditions[place]) if place in conditions else x

        return Hooks(after=after)


class Sft(nn.Module):
    """x · (1 + γ) + β with γ and β from a condition of x's size. Both start at 0, so x passes as it is."""

    hidden: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], condition: Float[Array, "b h w d"]
    ) -> Float[Array, "b h w c"]:
        shared = nn.relu(Conv(self.hidden, 3, name="shared")(condition))
        gamma = Conv(x.shape[-1], 3, initializer="zeros", name="gamma")(shared)
        beta = Conv(x.shape[-1], 3, initializer="zeros", name="beta")(shared)
        return x * (1 + gamma) + beta
