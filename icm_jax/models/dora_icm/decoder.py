"""Low-complexity decoder: decoded features of one task or several to predictions of the size of the image.

    features [h, w] ─► linear ─► stages: blocks, linear, twice the size ─► head at [8h, 8w] ─► bicubic ─► prediction
    block: x + attention across scales (norm(x)),  then  x + SwiGLU(norm(x))

DoRA-ICM (Zhang et al.), section 2.4. Three stages; a fourth makes the full decoder of the ablation, whose head
works at the size of the image. Widths, blocks and heads are not printed in the paper: see docs/dora_icm.md.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.layers.batch_norm import BatchNorm
from icm_jax.layers.bicubic import bicubic
from icm_jax.layers.conv import Conv
from icm_jax.layers.dense import Dense, gelu
from icm_jax.layers.swiglu import SwiGLU, layer_norm
from icm_jax.models.dora_icm.cross_scale import CrossScaleAttention, Scores
from icm_jax.models.eva02 import rescaled_init

WIDTHS = (576, 288, 144)
FULL_WIDTHS = (*WIDTHS, 72)


class Block(nn.Module):
    """One block; `layer` is its number in the decoder from 1, which scales its initial weights."""

    heads: int
    key_stride: int
    layer: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t h w c"], previous: Scores | None, weight: Float[Array, ""] | None
    ) -> tuple[Float[Array, "b t h w c"], Scores]:
        output_init = rescaled_init(self.layer)
        attention = CrossScaleAttention(self.heads, self.key_stride, output_init, name="attn")
        attended, scores = attention(layer_norm(x, "norm1"), previous, weight)
        x = x + attended
        return x + SwiGLU(True, output_init, name="mlp")(layer_norm(x, "norm2")), scores


class Stage(nn.Module):
    """Blocks at one scale; all of them add the scores of the scale before, the last hands its own on."""

    blocks: int
    heads: int
    number: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t h w c"], previous: Scores | None, weight: Float[Array, ""] | None
    ) -> tuple[Float[Array, "b t h w c"], Scores | None]:
        scores = previous
        for i in range(self.blocks):
            layer = self.number * self.blocks + i + 1
            block = Block(self.heads, 2 ** (self.number + 1), layer, name=f"block{i}")
            x, scores = block(x, previous, weight)
        return x, scores


class Head(nn.Module):
    """Norm, convolution 3×3, batch norm, GELU, linear to the channels of the prediction."""

    outputs: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w o"]:
        x = Conv(x.shape[-1], 3, use_bias=False, name="conv")(layer_norm(x, "input_norm"))
        return Dense(self.outputs, name="prediction")(gelu(BatchNorm(name="norm")(x, train)))


class Decoder(nn.Module):
    """One task or several. All is shared between tasks but the first linear layer and the head of each."""

    outputs: tuple[int, ...]
    widths: tuple[int, ...] = WIDTHS
    blocks: int = 2
    heads: int = 2

    @nn.compact
    def __call__(
        self, features: Sequence[Float[Array, "b h w c"]], size: tuple[int, int], train: bool = False
    ) -> tuple[Float[Array, "b h2 w2 o"], ...]:
        """Features of every task, on one grid, to predictions of `size` = (height, width).

        Raises:
            IcmError: not as many maps of features as tasks.
        """
        if len(features) != len(self.outputs):
            raise IcmError(f"{len(features)} maps of features for a decoder of {len(self.outputs)} tasks")
        inputs = [Dense(self.widths[0], name=f"in_proj{t}")(own) for t, own in enumerate(features)]
        x, scores = jnp.stack(inputs, axis=1), None
        alpha = self.param("alpha", nn.initializers.ones, (len(self.widths) - 1,))
        for s in range(len(self.widths)):
            stage = Stage(self.blocks, self.heads, s, name=f"stage{s}")
            x, scores = stage(x, scores, alpha[s - 1] if s else None)
            if s + 1 < len(self.widths):
                x = Dense(self.widths[s + 1], name=f"down{s}")(
                    x
                )  # before the enlargement: a quarter of the work
            x = _doubled(x)
        heads = [Head(own, name=f"head{t}") for t, own in enumerate(self.outputs)]
        return tuple(bicubic(head(x[:, t], train), size) for t, head in enumerate(heads))


def _doubled(x: Float[Array, "b t h w c"]) -> Float[Array, "b t h2 w2 c"]:
    b, t, h, w, c = x.shape
    return bicubic(x.reshape(b * t, h, w, c), (2 * h, 2 * w)).reshape(b, t, 2 * h, 2 * w, c)
