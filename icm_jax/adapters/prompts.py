"""TransTIC: prompts steer the Swin stacks of a frozen TIC (Kao et al., ICCV 2023, sections 3.3 and A3).

    encoder   image ─► extractor ─► a map a stack ─► a convolution a layer ─► instance prompts
    decoder   a few learned tokens a layer, the same for every window of every image: task prompts

Every ablation of the paper is a value of `PromptSpec`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.adapters.prompt_extractor import PromptExtractor
from icm_jax.errors import IcmError
from icm_jax.layers.conv import Conv, Deconv
from icm_jax.layers.prompts import StackPrompts
from icm_jax.layers.resize import mean_pooled
from icm_jax.models.hooks import Adapter, Hooks, Transform
from icm_jax.models.tic import TICSpec

ENCODER_KINDS = ("instance", "instance-shared", "task", "none")
DECODER_KINDS = ("task", "instance", "none")


@dataclass(frozen=True)
class PromptSpec:
    """Which stacks of a TIC get which prompts. Stacks are numbered as in the paper: 1 is the one nearest the image.

    Attributes:
        encoder: "instance" (made from the image), "instance-shared" (pooled, the same in all windows), "task"
            (learned tokens) or "none".
        decoder: "task", "instance" (made from y_hat) or "none".
        encoder_stacks, decoder_stacks: which stacks are prompted.
        encoder_prompts, decoder_prompts: prompts of a window; a square number such as 4, 16 or 64.
        shallow: prompts enter the first layer of a stack and attend too, layer after layer; in stacks 1 and 2, the
            others stay deep (so the sizes and costs of the paper's table A1 say).
        mask: "aligned", or "reference" for weights that were trained with the published code's shift mask.
        extractor_width: channels of the extractor at full resolution.
    """

    encoder: str = "instance"
    decoder: str = "task"
    encoder_stacks: tuple[int, ...] = (1, 2)
    decoder_stacks: tuple[int, ...] = (1, 2, 3, 4)
    encoder_prompts: int = 16
    decoder_prompts: int = 16
    shallow: bool = False
    mask: str = "aligned"
    extractor_width: int = 32

    def __post_init__(self) -> None:
        for name, choices in (
            ("encoder", ENCODER_KINDS),
            ("decoder", DECODER_KINDS),
            ("mask", ("aligned", "reference")),
        ):
            if getattr(self, name) not in choices:
                raise IcmError(
                    f"{name}={getattr(self, name)!r} is unknown; choose one of {', '.join(choices)}"
                )
        for name in ("encoder_stacks", "decoder_stacks"):
            stacks = getattr(self, name)
            if not stacks or not set(stacks) <= {1, 2, 3, 4}:
                raise IcmError(f"{name}={stacks} must name some of the stacks 1 (nearest the image) to 4")
        for name in ("encoder_prompts", "decoder_prompts"):
            if math.isqrt(getattr(self, name)) ** 2 != getattr(self, name):
                raise IcmError(f"{name}={getattr(self, name)} must be a square number, such as 4, 16 or 64")

    def is_shallow(self, stack: "Stack") -> bool:
        """Whether the stack's prompts enter its first layer only."""
        return self.shallow and stack.number <= 2

    @property
    def input_channels(self) -> int:
        """RGB."""
        return 3

    @property
    def pictures(self) -> tuple[str, ...]:
        """One picture."""
        return ("image",)

    def build(self, base: TICSpec) -> Adapter:
        """See `AdapterSpec.build`."""
        if base.block != "swin":
            raise IcmError(f"prompts need attention, the base has block={base.block!r}; take a Swin base")
        for count in (self.encoder_prompts, self.decoder_prompts):
            side, shift = math.isqrt(count), base.window // 2
            if base.window % side or shift % (base.window // side):
                raise IcmError(
                    f"{count} prompts do not tile windows of {base.window} shifted by {shift}; "
                    f"choose {', '.join(str(n * n) for n in range(2, base.window + 1, 2) if base.window % n == 0)}"
                )
        return PromptAdapter(self, base)


class Stack(NamedTuple):
    """A stack of the base as its prompts see it."""

    number: int  # from the image
    name: str
    width: int
    depth: int


def encoder_stacks(base: TICSpec) -> list[Stack]:
    """Stacks of g_a in the order of the data."""
    stages = zip(base.stage_widths, base.depths, strict=True)
    return [Stack(i + 1, f"stb{2 * i + 1}", width, depth) for i, (width, depth) in enumerate(stages)]


def decoder_stacks(base: TICSpec) -> list[Stack]:
    """Stacks of g_s in the order of the data."""
    return [Stack(s.number, f"stb{8 - 2 * s.number}", s.width, s.depth) for s in encoder_stacks(base)[::-1]]


def _numbered(stacks: list[Stack], numbers: tuple[int, ...]) -> tuple[Stack, ...]:
    return tuple(stack for stack in stacks if stack.number in numbers)


class PromptAdapter(Adapter):
    """Prompts of both sides."""

    spec: PromptSpec
    base: TICSpec

    def setup(self) -> None:
        spec = self.spec
        if spec.encoder == "task":
            stacks = _numbered(encoder_stacks(self.base), spec.encoder_stacks)
            self.g_a = TaskPrompts(spec, stacks, spec.encoder_prompts)
        elif spec.encoder != "none":
            self.g_a = EncoderPrompts(spec, self.base)
        if spec.decoder == "task":
            stacks = _numbered(decoder_stacks(self.base), spec.decoder_stacks)
            self.g_s = TaskPrompts(spec, stacks, spec.decoder_prompts)
        elif spec.decoder == "instance":
            self.g_s = DecoderPrompts(spec, self.base)

    def analyse(self, g_a: Transform, x: Float[Array, "b h w 3"], train: bool) -> Float[Array, "b hy wy m"]:
        """See `Adapter.analyse`."""
        return g_a(x, train, Hooks() if self.spec.encoder == "none" else Hooks(self.g_a(x, train)))

    def synthesise(
        self, g_s: Transform, y_hat: Float[Array, "b hy wy m"], train: bool
    ) -> Float[Array, "b h w 3"]:
        """See `Adapter.synthesise`."""
        return g_s(y_hat, train, Hooks() if self.spec.decoder == "none" else Hooks(self.g_s(y_hat, train)))


class EncoderPrompts(nn.Module):
    """g_p: extractor, a map a stack, each made from the one before it, and a convolution a prompted layer."""

    spec: PromptSpec
    base: TICSpec

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], train: bool) -> dict[str, StackPrompts]:
        spec, stacks = self.spec, encoder_stacks(self.base)
        prompts = {}
        m = PromptExtractor(spec.extractor_width, stacks[0].width, name="extractor")(x, train)
        for stack in stacks[: max(spec.encoder_stacks)]:
            if stack.number > 1:
                m = Conv(stack.width, 3, stride=2, name=f"map{stack.number}")(m)
            if stack.number in spec.encoder_stacks:
                side, shared = math.isqrt(spec.encoder_prompts), spec.encoder == "instance-shared"
                prompts[stack.name] = LayerMaps(
                    spec, stack, side, self.base.window // side, shared, name=stack.name
                )(m)
        return prompts


class DecoderPrompts(nn.Module):
    """Instance prompts from y_hat: a map a stack, each from the one before it and never from the features."""

    spec: PromptSpec
    base: TICSpec

    @nn.compact
    def __call__(self, y_hat: Float[Array, "b hy wy m"], train: bool) -> dict[str, StackPrompts]:
        spec, stacks = self.spec, decoder_stacks(self.base)
        prompts, m = {}, y_hat
        for stack in stacks[: 5 - min(spec.decoder_stacks)]:
            resize = Conv if stack.number == 4 else Deconv
            m = resize(stack.width, 3, name=f"map{stack.number}")(m)
            if stack.number in spec.decoder_stacks:
                side = math.isqrt(spec.decoder_prompts)
                prompts[stack.name] = LayerMaps(spec, stack, side, self.base.window // side, name=stack.name)(
                    m
                )
        return prompts


class LayerMaps(nn.Module):
    """Prompts of one stack from its map: a strided convolution a layer, one only if prompts are handed on."""

    spec: PromptSpec
    stack: Stack
    side: int  # prompts along a window's side
    stride: int
    shared: bool = False

    @nn.compact
    def __call__(self, m: Float[Array, "b h w c"]) -> StackPrompts:
        width, shallow = self.stack.width, self.spec.is_shallow(self.stack)
        layers = []
        for i in range(1 if shallow else self.stack.depth):
            layer = Conv(width, 3, stride=self.stride, name=f"layer{i}")(m)
            if self.shared:
                layer = mean_pooled(layer, (self.side, self.side)).reshape(len(layer), -1, width)
            layers.append(layer)
        return StackPrompts(tuple(layers), self.spec.mask == "reference", shallow)


class TaskPrompts(nn.Module):
    """Learned tokens, the same for every image: a parameter [depth, prompts, width] a stack, named after it."""

    spec: PromptSpec
    stacks: tuple[Stack, ...]
    count: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> dict[str, StackPrompts]:
        prompts = {}
        for stack in self.stacks:
            shallow = self.spec.is_shallow(stack)
            shape = (1 if shallow else stack.depth, self.count, stack.width)
            tokens = self.param(stack.name, _token_init, shape).astype(x.dtype)
            prompts[stack.name] = StackPrompts(tuple(jnp.split(tokens, shape[0])), shallow=shallow)
        return prompts


def _token_init(key: Array, shape: tuple[int, ...]) -> Array:
    """U(±√(6 / (3 + width))), as published."""
    bound = (6 / (3 + shape[-1])) ** 0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)
