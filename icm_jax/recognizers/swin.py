"""Swin transformer for classification (Liu et al., ICCV 2021), as timm has it.

patch_embed  patches of 4×4 pixels, layer norm                stride 4
layer0 … 3   blocks of window attention, every second shifted   strides 4, 8, 16, 32
merged0 … 2  2×2 tokens -> one of twice the width, between them

Images of any size that is a multiple of the patch: windows that reach over the edge see zeros there, as in timm, where
the original asks for whole windows.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import Dense
from icm_jax.layers.patch_embed import PatchEmbed
from icm_jax.layers.swin import DropPath, Mlp
from icm_jax.layers.window_attention import WindowAttention
from icm_jax.recognizers.preprocessing import Preprocessing, ShortSideCrop

PREPROCESSING = Preprocessing(ShortSideCrop(256, 224))
LAYER_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class SwinSpec:
    """Sizes of a Swin transformer; the defaults are Swin-T.

    Attributes:
        patch: side of the patches.
        width: channels of the first stage; every next one has twice as many.
        depths, heads: blocks and attention heads a stage.
        windows: side of the windows of every stage. A network made for small images has smaller ones at the end.
        mlp_ratio: hidden over outer width of the MLPs.
        drop_path: rate of stochastic depth in the last block; it grows linearly from 0.
        norm: a layer norm after the last stage.
        classes: outputs of the classifier; 0 leaves it out.
    """

    patch: int = 4
    width: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    windows: tuple[int, ...] = (7, 7, 7, 7)
    mlp_ratio: int = 4
    drop_path: float = 0.2
    norm: bool = True
    classes: int = 1000


class Block(nn.Module):
    """u = x + proj(attention(norm(x)));  u + mlp(norm(u))."""

    features: int
    heads: int
    window: int
    shift: int
    mlp_ratio: int
    drop_path: float

    def setup(self) -> None:
        self.norm1, self.norm2 = (nn.LayerNorm(epsilon=LAYER_NORM_EPSILON) for _ in range(2))
        self.attn = WindowAttention(self.features, self.heads, self.window, self.shift, visible_padding=True)
        self.mlp = Mlp(self.mlp_ratio * self.features, self.features)
        self.drop = DropPath(self.drop_path)

    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False, copies: int = 1
    ) -> Float[Array, "bc h w c"]:
        """With `copies`, what follows the attention runs so many times, for adapters that tell them apart."""
        gathered = self.attn.gathered(self.norm1(x))
        x, gathered = (jnp.tile(one, (copies, 1, 1, 1)) for one in (x, gathered))
        x = x + self.drop(self.attn.proj(gathered), train)
        return x + self.drop(self.mlp(self.norm2(x)), train)


class PatchMerging(nn.Module):
    """Every 2×2 tokens, column by column, normed and mapped to one; odd sizes get a row or column of zeros."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        b, h, w, c = x.shape
        x = (
            x.reshape(b, h // 2, 2, w // 2, 2, c)
            .transpose(0, 1, 3, 4, 2, 5)
            .reshape(b, h // 2, w // 2, 4 * c)
        )
        x = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name="norm")(x)
        return Dense(self.features, use_bias=False, name="reduction")(x)


class Swin(nn.Module):
    """Input normalised; result: the stages above, `features`, `pooled` and, with a classifier, `logits`."""

    spec: SwinSpec = SwinSpec()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], train: bool = False, copies: int = 1) -> dict[str, Array]:
        """With `copies`, the last block of each stage gives so many (see `Block`), one after the other along the batch.

        The first of them goes on to the next stage.
        """
        spec, images = self.spec, len(x)
        grid = tuple(size // spec.patch for size in x.shape[1:3])
        x = PatchEmbed(spec.width, spec.patch, name="patch_embed")(x).reshape(images, *grid, spec.width)
        x = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name="patch_norm")(x)
        taps, rates = {"patch_embed": x}, iter(np.linspace(0, spec.drop_path, sum(spec.depths)).tolist())
        last = len(spec.depths) - 1
        for i, (depth, heads, window) in enumerate(zip(spec.depths, spec.heads, spec.windows, strict=True)):
            features = spec.width << i
            for j in range(depth):
                shape = (features, heads, window, window // 2 * (j % 2), spec.mlp_ratio, next(rates))
                ends = j == depth - 1
                x = Block(*shape, name=f"layer{i}_block{j}")(x, train, copies if ends else 1)
            taps[f"layer{i}"] = x
            if i < last:
                x = taps[f"merged{i}"] = PatchMerging(2 * features, name=f"merge{i}")(x)
            x = x[:images]
        if spec.norm:
            x = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name="norm")(x)
        taps["features"], taps["pooled"] = x, x.mean((1, 2))
        if spec.classes:
            taps["logits"] = Dense(spec.classes, name="classifier")(taps["pooled"])
        return taps
