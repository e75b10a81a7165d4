"""TIC+channel selection: only channels a task needs are coded, and no picture is made (Liu et al., ICPR 2022).

    y ─► means ─► gate ─► 0 or 1 a channel ─► · y        y_hat ─► transform ─► features of the recognition network

The baseline of the TransTIC paper (figure A4). Layer widths are chosen after the sizes and costs it prints: features
are those of the first residual stage of a ResNet, at H/4, and the network goes on from there.
"""

from dataclasses import dataclass, field

import jax
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.layers.conv import Conv, Deconv
from icm_jax.layers.dense import Dense
from icm_jax.models.hooks import Adapter, Transform
from icm_jax.models.tic import TICSpec
from icm_jax.plain_values import ADDED_LATER


@dataclass(frozen=True)
class ChannelSelectionSpec:
    """Widths of the transform.

    Attributes:
        widths: channels at H/16 and H/8.
        features: channels at H/4; 256 in a ResNet-50.
        temperature: of the Gumbel softmax that stands for the gate's decision in training.
        tap: name of these features among the network's outputs.
        signed: they may be below zero, as behind MobileNetV2's blocks; those behind a ReLU are not.
    """

    widths: tuple[int, int] = (192, 128)
    features: int = 256
    temperature: float = 1.0
    tap: str = field(default="layer1", metadata=ADDED_LATER)
    signed: bool = field(default=False, metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        if len(self.widths) != 2:
            raise IcmError(f"widths={self.widths} must name the channels at H/16 and at H/8")

    @property
    def input_channels(self) -> int:
        """RGB."""
        return 3

    @property
    def pictures(self) -> tuple[str, ...]:
        """None: features are decoded."""
        return ()

    def build(self, base: TICSpec) -> Adapter:
        """See `AdapterSpec.build`. Fits any base."""
        return ChannelSelectionAdapter(self)


class ChannelSelectionAdapter(Adapter):
    """Gate behind g_a, transform in place of g_s."""

    spec: ChannelSelectionSpec

    def setup(self) -> None:
        self.g_a = ChannelGate(self.spec.temperature)
        self.g_s = FeatureTransform(self.spec)

    def analyse(self, g_a: Transform, x: Float[Array, "b h w 3"], train: bool) -> Float[Array, "b hy wy m"]:
        """See `Adapter.analyse`."""
        y = g_a(x, train)
        return y * self.g_a(y, train)

    def synthesise(
        self, g_s: Transform, y_hat: Float[Array, "b hy wy m"], train: bool
    ) -> Float[Array, "b h4 w4 d"]:
        """Features; g_s is not run."""
        return self.g_s(y_hat)


class ChannelGate(nn.Module):
    """1 for channels to keep, else 0. In training a Gumbel softmax (rng "gate") carries the gradient."""

    temperature: float

    @nn.compact
    def __call__(self, y: Float[Array, "b h w m"], train: bool) -> Float[Array, "b 1 1 m"]:
        channels = y.shape[-1]
        hidden = nn.relu(Dense(channels, name="fc1")(y.mean(axis=(1, 2))))
        logits = Dense(2 * channels, name="fc2")(hidden).reshape(-1, channels, 2)
        if not train:
            return (logits[..., 0] >= logits[..., 1]).astype(y.dtype)[:, None, None]
        noisy = logits + jax.random.gumbel(self.make_rng("gate"), logits.shape, logits.dtype)
        soft = jax.nn.softmax(noisy / self.temperature, axis=-1)[..., 0]
        hard = (noisy[..., 0] >= noisy[..., 1]).astype(y.dtype)
        return (hard + soft - jax.lax.stop_gradient(soft))[:, None, None]


class FeatureTransform(nn.Module):
    """y_hat -> features at a quarter of the image's size."""

    spec: ChannelSelectionSpec

    @nn.compact
    def __call__(self, y_hat: Float[Array, "b h w m"]) -> Float[Array, "b h4 w4 d"]:
        coarse, middle = self.spec.widths
        x = nn.relu(Conv(coarse, 3, name="conv0")(y_hat))
        x = nn.relu(Deconv(middle, 3, name="deconv1")(x))
        x = Deconv(self.spec.features, 3, name="deconv2")(x)
        return x if self.spec.signed else nn.relu(x)
