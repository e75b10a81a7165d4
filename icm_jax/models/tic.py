"""TIC, the Transformer image codec that TransTIC steers (Kao et al., ICCV 2023; layer table in docs/models.md).

    x ──► g_a ──► y ──────────────────► round around means ──► y_hat ──► g_s ──► x_hat
                  └► h_a ─► z ─► round ─► z_hat ─► h_s ─► scales, means

Each transform is a chain of strided convolutions with a stack of residual layers at every scale. The stacks are
Swin blocks in TIC and plain residual bottlenecks in `tic-lite`; everything else is shared.
"""

from dataclasses import dataclass, field

import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.entropy.factorized import FactorizedPrior
from icm_jax.errors import IcmError
from icm_jax.layers.bottleneck import BottleneckStack
from icm_jax.layers.conv import Conv, Deconv
from icm_jax.layers.swin import SwinStack
from icm_jax.models.hooks import NO_HOOKS, Adapter, Hooks
from icm_jax.models.latent_codec import Hyperprior
from icm_jax.plain_values import ADDED_LATER

REFERENCE_RESOLUTION = (
    256  # the size the published models were built for; small stages lost their shift there
)


@dataclass(frozen=True)
class TICSpec:
    """Everything that fixes the architecture of a TIC; saved with the weights as JSON.

    Attributes:
        N: channels of the hyperprior and, unless `widths` says otherwise, of the first three scales.
        M: channels of y.
        widths: channels at H/2, H/4 and H/8; empty means (N, N, N).
        depths: layers of the four stacks of g_a (g_s mirrors them).
        hyper_depths: layers of the two stacks of h_a (h_s mirrors them).
        heads, hyper_heads: attention heads of the same stacks.
        window, hyper_window: attention windows of the image and hyper transforms.
        mlp_ratio: hidden width of the Swin MLPs over their channels.
        drop_path: largest stochastic-depth rate; rates grow linearly over the layers.
        block: "swin" (the published codec) or "bottleneck" (tic-lite).
        latent_gain: y = latent_gain · (output of g_a). 1 as published; 8 lets short trainings start well.
        init: how convolutions start, "uniform" as published or "lecun"; see `layers.conv.initializers`.
        shift_mask: whether shifted windows hide what the roll made neighbours. AdaptICMH's code runs without.
    """

    N: int = 128
    M: int = 192
    widths: tuple[int, ...] = ()
    depths: tuple[int, ...] = (2, 4, 6, 2)
    hyper_depths: tuple[int, ...] = (2, 2)
    heads: tuple[int, ...] = (8, 8, 8, 16)
    hyper_heads: tuple[int, ...] = (16, 16)
    window: int = 8
    hyper_window: int = 4
    mlp_ratio: int = 2
    drop_path: float = 0.1
    block: str = "swin"
    latent_gain: float = 1.0
    init: str = "uniform"
    shift_mask: bool = field(default=True, metadata=ADDED_LATER)

    y_stride: int = field(default=16, init=False)
    z_stride: int = field(default=64, init=False)

    def __post_init__(self) -> None:
        if self.block not in ("swin", "bottleneck"):
            raise IcmError(f"block={self.block!r} is unknown; choose 'swin' or 'bottleneck'")
        for name, expected in (("depths", 4), ("heads", 4), ("hyper_depths", 2), ("hyper_heads", 2)):
            value = getattr(self, name)
            if len(value) != expected:
                raise IcmError(f"{name}={value} has {len(value)} entries; TIC has {expected} stacks there")
        if self.widths and len(self.widths) != 3:
            raise IcmError(f"widths={self.widths} must list the channels at H/2, H/4 and H/8, or be empty")
        for width, heads in zip(
            (*self.stage_widths, self.N, self.N), (*self.heads, *self.hyper_heads), strict=True
        ):
            if self.block == "swin" and width % heads:
                raise IcmError(f"{width} channels can not be split over {heads} attention heads")

    @property
    def stage_widths(self) -> tuple[int, int, int, int]:
        """Channels at H/2, H/4, H/8, H/16."""
        w2, w4, w8 = self.widths or (self.N, self.N, self.N)
        return w2, w4, w8, self.M


def _window_and_shift(stride: int, window: int) -> tuple[int, int]:
    """Window and shift of a stage: as published, a stage built no larger than its window never shifts."""
    built = REFERENCE_RESOLUTION // stride
    return (built, 0) if built <= window else (window, window // 2)


def _stack(
    spec: TICSpec, name: str, width: int, stride: int, heads: int, window: int, drop_paths: list[float]
) -> nn.Module:
    if spec.block == "bottleneck":
        return BottleneckStack(width, len(drop_paths), name=name)
    window, shift = _window_and_shift(stride, window)
    shape = (width, heads, window, shift, spec.mlp_ratio)
    return SwinStack(*shape, tuple(drop_paths), spec.shift_mask, name=name)


def _drop_path_groups(spec: TICSpec, depths: tuple[int, ...]) -> list[list[float]]:
    """Rates of every stack: 0 … drop_path over all layers, in the order of `depths`."""
    rates = np.linspace(0.0, spec.drop_path, sum(depths)).tolist()
    ends = np.cumsum(depths)
    return [rates[end - depth : end] for depth, end in zip(depths, ends, strict=True)]


class Analysis(nn.Module):
    """g_a: image -> y, 1/16 of the size."""

    spec: TICSpec

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"], train: bool = False, hooks: Hooks = NO_HOOKS
    ) -> Float[Array, "b hy wy m"]:
        spec = self.spec
        rates = _drop_path_groups(spec, (*spec.depths, *spec.hyper_depths))
        for i, width in enumerate(spec.stage_widths):
            conv, stb = f"conv{2 * i}", f"stb{2 * i + 1}"
            x = Conv(width, 5 if i == 0 else 3, stride=2, initializer=spec.init, name=conv)(x)
            stack = _stack(spec, stb, width, 2 ** (i + 1), spec.heads[i], spec.window, rates[i])
            x = hooks.through_stack(stb, stack, hooks.after(conv, x), train)
        return x * spec.latent_gain


class HyperAnalysis(nn.Module):
    """h_a: y -> z, a quarter of its size."""

    spec: TICSpec

    @nn.compact
    def __call__(
        self, y: Float[Array, "b hy wy m"], train: bool = False, hooks: Hooks = NO_HOOKS
    ) -> Float[Array, "b hz wz n"]:
        spec = self.spec
        rates = _drop_path_groups(spec, (*spec.depths, *spec.hyper_depths))[4:]
        for i in range(2):
            conv, stb = f"conv{2 * i}", f"stb{2 * i + 1}"
            y = Conv(spec.N, 3, stride=2, initializer=spec.init, name=conv)(y)
            stack = _stack(spec, stb, spec.N, 32 << i, spec.hyper_heads[i], spec.hyper_window, rates[i])
            y = hooks.through_stack(stb, stack, hooks.after(conv, y), train)
        return y


class HyperSynthesis(nn.Module):
    """h_s: z_hat -> scales and means of y (first M channels are the scales)."""

    spec: TICSpec

    @nn.compact
    def __call__(self, z_hat: Float[Array, "b hz wz n"], train: bool = False) -> Float[Array, "b hy wy m2"]:
        spec = self.spec
        rates = _drop_path_groups(spec, (*spec.hyper_depths[::-1], *spec.depths[::-1]))
        h = z_hat
        for i, width in enumerate((spec.N, 2 * spec.M)):
            stack = _stack(
                spec, f"stb{2 * i}", spec.N, 64 >> i, spec.hyper_heads[1 - i], spec.hyper_window, rates[i]
            )
            h = Deconv(width, 3, spec.init, name=f"deconv{2 * i + 1}")(stack(h, train))
        return h


class Synthesis(nn.Module):
    """g_s: y_hat -> image (not clamped)."""

    spec: TICSpec

    @nn.compact
    def __call__(
        self, y_hat: Float[Array, "b hy wy m"], train: bool = False, hooks: Hooks = NO_HOOKS
    ) -> Float[Array, "b h w 3"]:
        spec = self.spec
        rates = _drop_path_groups(spec, (*spec.hyper_depths[::-1], *spec.depths[::-1]))[2:]
        widths = spec.stage_widths[::-1]
        x = y_hat
        for i, (width, out) in enumerate(zip(widths, (*widths[1:], 3), strict=True)):
            stb, deconv = f"stb{2 * i}", f"deconv{2 * i + 1}"
            stack = _stack(spec, stb, width, 16 >> i, spec.heads[3 - i], spec.window, rates[i])
            x = hooks.through_stack(stb, stack, x, train)
            x = hooks.after(deconv, Deconv(out, 5 if i == 3 else 3, spec.init, name=deconv)(x))
        return x


class TIC(Hyperprior):
    """The codec's networks.

    Attributes:
        adapter: what steers the transforms; its parameters stand under "adapter", beside those of the base.
    """

    spec: TICSpec
    adapter: Adapter | None = None

    def setup(self) -> None:
        self.g_a = Analysis(self.spec)
        self.h_a = HyperAnalysis(self.spec)
        self.h_s = HyperSynthesis(self.spec)
        self.g_s = Synthesis(self.spec)
        self.z_prior = FactorizedPrior(self.spec.N)

    def analyse(self, x: Float[Array, "b h w 3"], train: bool = False) -> Float[Array, "b hy wy m"]:
        """Image in [0, 1] -> y. Height and width must be multiples of 64."""
        return self.g_a(x, train) if self.adapter is None else self.adapter.analyse(self.g_a, x, train)

    def hyper_analyse(self, y: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b hz wz n"]:
        """y -> z."""
        return self.h_a(y, train) if self.adapter is None else self.adapter.hyper_analyse(self.h_a, y, train)

    def synthesise(self, y_hat: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b h w 3"]:
        """y_hat -> image, not clamped."""
        if self.adapter is None:
            return self.g_s(y_hat, train)
        return self.adapter.synthesise(self.g_s, y_hat, train)
