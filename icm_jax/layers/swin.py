"""Swin layers and the stack of them (STB) that TIC puts between its convolutions.

stack: x + layers(x)          one skip around all layers; no norm, no convolution after them
layer: u = x + attention(norm(x));  u + mlp(norm(u))
"""

from collections.abc import Sequence

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import Dense, gelu
from icm_jax.layers.drop_path import drop_path
from icm_jax.layers.prompts import Prompts, StackPrompts
from icm_jax.layers.window_attention import WindowAttention


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch for a whole image, kept branches divided by 1 - rate."""

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        if not train or self.rate == 0.0:
            return x
        return drop_path(x, self.rate, self.make_rng("drop_path"))


class Mlp(nn.Module):
    """Dense, exact (erf) GELU, Dense."""

    hidden: int
    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        h = gelu(Dense(self.hidden, name="fc1")(x))
        return Dense(self.features, name="fc2")(h)


class SwinLayer(nn.Module):
    """One pre-norm Swin transformer layer. With prompts, also returns those to hand on, if any."""

    features: int
    heads: int
    window: int
    shift: int
    mlp_ratio: int
    drop_path: float
    shift_mask: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False, prompts: Prompts | None = None
    ) -> tuple[Float[Array, "b h w c"], Array | None]:
        attention = WindowAttention(
            self.features, self.heads, self.window, self.shift, self.shift_mask, name="attn"
        )
        mlp = Mlp(self.mlp_ratio * self.features, self.features, name="mlp")
        drop = DropPath(self.drop_path)
        h = nn.LayerNorm(epsilon=1e-5, name="norm1")(x)
        if prompts is not None and prompts.updated:
            prompts = prompts.as_map(x.shape, self.window)
        h, updated = (attention(h), None) if prompts is None else attention.with_prompts(h, prompts)
        x = x + drop(h, train)
        x = x + drop(mlp(nn.LayerNorm(epsilon=1e-5, name="norm2")(x)), train)
        return x, updated if updated is None or prompts is None else prompts.tokens + updated


class SwinStack(nn.Module):
    """STB: `len(drop_paths)` Swin layers, every second one shifted by half a window, inside one long skip."""

    features: int
    heads: int
    window: int
    shift: int
    mlp_ratio: int
    drop_paths: Sequence[float]
    shift_mask: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False, prompts: StackPrompts | None = None
    ) -> Float[Array, "b h w c"]:
        h, handed_on = x, None
        for i, rate in enumerate(self.drop_paths):
            shift = self.shift if i % 2 else 0
            shape = (self.features, self.heads, self.window, shift, self.mlp_ratio)
            layer = SwinLayer(*shape, rate, self.shift_mask, name=f"layer{i}")
            h, handed_on = layer(h, train, None if prompts is None else prompts.of_layer(i, handed_on))
        return x + h
