"""The original TIC, with a context model (Lu et al., "Transformer-based Image Compression", DCC 2022).

A `models.context_codec` whose context is attention over the latents decoded before. Other than in TransTIC's TIC
(`models.tic`) convolutions come first in every transform, y has no stack of its own, and h_a and h_s begin and end at
the scale of y. Depths are those of the published repository's head.
"""

from dataclasses import dataclass, field

import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.entropy.factorized import FactorizedPrior
from icm_jax.errors import IcmError
from icm_jax.layers.causal_attention import CausalAttention
from icm_jax.layers.conv import Conv, Deconv
from icm_jax.layers.dense import gelu
from icm_jax.layers.swin import SwinStack
from icm_jax.models.context_codec import ContextCodec, EntropyParameters


@dataclass(frozen=True)
class TICOriginalSpec:
    """Everything that fixes the architecture; saved with the weights as JSON.

    Attributes:
        N: channels of the image transforms and of the hyperprior.
        M: channels of y.
        depths: layers of the stacks of g_a at H/2, H/4, H/8 (g_s mirrors them).
        hyper_depths: layers of the stacks of h_a at H/16, H/32 (h_s mirrors them).
        heads, hyper_heads: attention heads of the same stacks.
        context_heads: attention heads of the context model.
        window, hyper_window: attention windows of the image and hyper transforms.
        context_window: side of the square whose decoded half is the context of a position.
        mlp_ratio: hidden width of the MLPs over their channels.
        drop_path: largest stochastic-depth rate; rates grow linearly over the layers.
    """

    N: int = 128
    M: int = 192
    depths: tuple[int, ...] = (2, 4, 6)
    hyper_depths: tuple[int, ...] = (2, 2)
    heads: tuple[int, ...] = (4, 8, 16)
    hyper_heads: tuple[int, ...] = (16, 16)
    context_heads: int = 16
    window: int = 8
    hyper_window: int = 4
    context_window: int = 5
    mlp_ratio: int = 4
    drop_path: float = 0.2

    y_stride: int = field(default=16, init=False)
    z_stride: int = field(default=64, init=False)

    def __post_init__(self) -> None:
        for name, expected in (("depths", 3), ("heads", 3), ("hyper_depths", 2), ("hyper_heads", 2)):
            value = getattr(self, name)
            if len(value) != expected:
                raise IcmError(
                    f"{name}={value} has {len(value)} entries; the original TIC has {expected} stacks there"
                )
        widths = [(self.N, heads) for heads in (*self.heads, *self.hyper_heads)]
        for width, heads in (*widths, (self.M, self.context_heads)):
            if width % heads:
                raise IcmError(f"{width} channels can not be split over {heads} attention heads")
        if self.context_window % 2 == 0:
            raise IcmError(f"context_window={self.context_window} has no centre; choose an odd side")


def _drop_path_groups(spec: TICOriginalSpec, depths: tuple[int, ...]) -> list[list[float]]:
    """Stochastic-depth rates of every stack, growing over all layers in the order of `depths`."""
    rates = np.linspace(0.0, spec.drop_path, sum(depths))
    return [group.tolist() for group in np.split(rates, np.cumsum(depths)[:-1])]


def _stack(spec: TICOriginalSpec, name: str, heads: int, window: int, drop_paths: list[float]) -> SwinStack:
    return SwinStack(spec.N, heads, window, window // 2, spec.mlp_ratio, tuple(drop_paths), name=name)


class Analysis(nn.Module):
    """g_a: image -> y, 1/16 of the size."""

    spec: TICOriginalSpec

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], train: bool = False) -> Float[Array, "b hy wy m"]:
        spec = self.spec
        rates = _drop_path_groups(spec, (*spec.depths, *spec.hyper_depths))
        for i, heads in enumerate(spec.heads):
            x = Conv(spec.N, 5 if i == 0 else 3, stride=2, name=f"conv{2 * i}")(x)
            x = _stack(spec, f"stb{2 * i + 1}", heads, spec.window, rates[i])(x, train)
        return Conv(spec.M, 3, stride=2, name="conv6")(x)


class HyperAnalysis(nn.Module):
    """h_a: y -> z, a quarter of its size."""

    spec: TICOriginalSpec

    @nn.compact
    def __call__(self, y: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b hz wz n"]:
        spec = self.spec
        rates = _drop_path_groups(spec, (*spec.depths, *spec.hyper_depths))[3:]
        h = y
        for i, heads in enumerate(spec.hyper_heads):
            h = Conv(spec.N, 3, stride=1 + i, name=f"conv{2 * i}")(h)
            h = _stack(spec, f"stb{2 * i + 1}", heads, spec.hyper_window, rates[i])(h, train)
        return Conv(spec.N, 3, stride=2, name="conv4")(h)


class HyperSynthesis(nn.Module):
    """h_s: z_hat -> 2M parameters a position of y, still without its context."""

    spec: TICOriginalSpec

    @nn.compact
    def __call__(self, z_hat: Float[Array, "b hz wz n"], train: bool = False) -> Float[Array, "b hy wy m2"]:
        spec = self.spec
        rates = _drop_path_groups(spec, (*spec.hyper_depths[::-1], *spec.depths[::-1]))
        h = z_hat
        for i, heads in enumerate(spec.hyper_heads[::-1]):
            h = Deconv(spec.N, 3, name=f"deconv{2 * i}")(h)
            h = _stack(spec, f"stb{2 * i + 1}", heads, spec.hyper_window, rates[i])(h, train)
        return Conv(2 * spec.M, 3, name="conv4")(h)


class Synthesis(nn.Module):
    """g_s: y_hat -> image (not clamped)."""

    spec: TICOriginalSpec

    @nn.compact
    def __call__(self, y_hat: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b h w 3"]:
        spec = self.spec
        rates = _drop_path_groups(spec, (*spec.hyper_depths[::-1], *spec.depths[::-1]))[2:]
        x = y_hat
        for i, heads in enumerate(spec.heads[::-1]):
            x = Deconv(spec.N, 3, name=f"deconv{2 * i}")(x)
            x = _stack(spec, f"stb{2 * i + 1}", heads, spec.window, rates[i])(x, train)
        return Deconv(3, 5, name="deconv6")(x)


class TICOriginal(ContextCodec):
    """The codec's networks."""

    spec: TICOriginalSpec

    def setup(self) -> None:
        spec = self.spec
        self.g_a = Analysis(spec)
        self.h_a = HyperAnalysis(spec)
        self.h_s = HyperSynthesis(spec)
        self.g_s = Synthesis(spec)
        self.context = CausalAttention(spec.M, spec.context_heads, spec.context_window, spec.mlp_ratio)
        self.entropy_parameters = EntropyParameters(spec.M, gelu)
        self.z_prior = FactorizedPrior(spec.N)
