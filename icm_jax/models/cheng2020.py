"""The codecs of Cheng et al., "Learned image compression with discretized Gaussian mixture likelihoods and attention
modules" (CVPR 2020), with one Gaussian in place of the mixture, as CompressAI has them.

Residual blocks with 3×3 kernels, subpixel convolutions, and `mbt2018`'s context model. Names, layers and parameters are
those of CompressAI's zoo; `weights_convert.compressai` reads its checkpoints.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import jax
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.entropy.factorized import FactorizedPrior
from icm_jax.layers.causal_conv import CausalConv
from icm_jax.layers.conv import Conv
from icm_jax.layers.pixel_shuffle import pixel_shuffle
from icm_jax.layers.residual import AttentionBlock, ResidualBlock, ResidualDown, ResidualUp
from icm_jax.models.context_codec import ContextCodec, EntropyParameters

LAYERS: dict[str, Callable[..., nn.Module]] = {
    "down": ResidualDown,
    "up": ResidualUp,
    "block": ResidualBlock,
    "attention": AttentionBlock,
}


@dataclass(frozen=True)
class Cheng2020AnchorSpec:
    """`cheng2020-anchor`. N channels everywhere; `analysis` and `synthesis` list the layers of g_a and g_s."""

    N: int = 128

    y_stride: int = field(default=16, init=False)
    z_stride: int = field(default=64, init=False)
    context_window: ClassVar[int] = 5
    analysis: ClassVar[tuple[str, ...]] = ("down", "block", "down", "block", "down", "block", "conv")
    synthesis: ClassVar[tuple[str, ...]] = (
        "block", "up", "block", "up", "block", "up", "block", "subpixel"
    )  # fmt: skip

    @property
    def M(self) -> int:
        """Channels of y."""
        return self.N


@dataclass(frozen=True)
class Cheng2020AttentionSpec(Cheng2020AnchorSpec):
    """`cheng2020-attn`: attention at H/4 and H/16."""

    analysis: ClassVar[tuple[str, ...]] = (
        "down", "block", "down", "attention", "block", "down", "block", "conv", "attention"
    )  # fmt: skip
    synthesis: ClassVar[tuple[str, ...]] = (
        "attention", "block", "up", "block", "up", "attention", "block", "up", "block", "subpixel"
    )  # fmt: skip


class Transform(nn.Module):
    """g_a or g_s from the list of its layers."""

    N: int
    layers: tuple[str, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b h2 w2 d"]:
        for i, kind in enumerate(self.layers):
            name = f"layer{i}"
            if kind == "conv":
                x = Conv(self.N, 3, stride=2, name=name)(x)
            elif kind == "subpixel":
                x = pixel_shuffle(Conv(4 * 3, 3, name=name)(x))
            else:
                x = LAYERS[kind](self.N, name=name)(x)
        return x


class HyperAnalysis(nn.Module):
    """h_a: y -> z."""

    N: int

    @nn.compact
    def __call__(self, y: Float[Array, "b hy wy n"], train: bool = False) -> Float[Array, "b hz wz n"]:
        h = y
        for i, stride in enumerate((1, 1, 2, 1, 2)):
            h = jax.nn.leaky_relu(h) if i else h
            h = Conv(self.N, 3, stride, name=f"conv{2 * i}")(h)
        return h


class HyperSynthesis(nn.Module):
    """h_s: z_hat -> 2N parameters a position of y, still without its context."""

    N: int

    @nn.compact
    def __call__(self, z_hat: Float[Array, "b hz wz n"], train: bool = False) -> Float[Array, "b hy wy n2"]:
        wide = 3 * self.N // 2
        h = jax.nn.leaky_relu(Conv(self.N, 3, name="conv0")(z_hat))
        h = jax.nn.leaky_relu(pixel_shuffle(Conv(4 * self.N, 3, name="conv2")(h)))
        h = jax.nn.leaky_relu(Conv(wide, 3, name="conv4")(h))
        h = jax.nn.leaky_relu(pixel_shuffle(Conv(4 * wide, 3, name="conv6")(h)))
        return Conv(2 * self.N, 3, name="conv8")(h)


class Cheng2020(ContextCodec):
    """Both of them."""

    spec: Cheng2020AnchorSpec

    def setup(self) -> None:
        spec = self.spec
        self.g_a = Transform(spec.N, spec.analysis)
        self.h_a = HyperAnalysis(spec.N)
        self.h_s = HyperSynthesis(spec.N)
        self.g_s = Transform(spec.N, spec.synthesis)
        self.context = CausalConv(2 * spec.N, spec.context_window)
        self.entropy_parameters = EntropyParameters(spec.N, jax.nn.leaky_relu)
        self.z_prior = FactorizedPrior(spec.N)
