"""Causal attention over the latents that are already decoded: the context model of the original TIC.

    · a b c d e        a … l: the 12 neighbours of the 5×5 square that come before ? in raster order
    · f g h i j        ?, and all that follows it, are zero tokens: unknown to the decoder
    · k l ?            outside the map: zero tokens too

Zero tokens stay in the softmax and in the sum over queries, as published: after the norm they equal its bias,
so they act as a learned constant rather than as nothing.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import Dense, dense_init
from icm_jax.layers.swin import Mlp
from icm_jax.layers.window_attention import relative_position_index


def causal_offsets(window: int) -> np.ndarray:
    """(row, column) from the centre of a square to each token before it: int [window²//2, 2]."""
    rows, cols = np.divmod(np.arange(window * window // 2), window)
    return np.stack([rows, cols], -1) - window // 2


def causal_neighbours(y_hat: Float[Array, "b h w c"], window: int) -> Float[Array, "b h w k c"]:
    """The k = window²//2 neighbours of every position of a map, zero outside it."""
    h, w = y_hat.shape[1:3]
    reach = window // 2
    padded = jnp.pad(y_hat, ((0, 0), (reach, 0), (reach, reach), (0, 0)))
    corners = causal_offsets(window) + reach
    return jnp.stack([padded[:, row : row + h, col : col + w] for row, col in corners], axis=3)


class CausalAttention(nn.Module):
    """12 decoded neighbours -> 2·features context features for the position after them (window 5).

    norm, attention without an output projection, residual, sum over all tokens of the square; then a residual
    MLP and a linear layer. Each position is a function of its own neighbours alone, so a whole map at once
    (training, encoding) and a few positions at a time (decoding) are the same call.
    """

    features: int
    heads: int
    window: int
    mlp_ratio: int

    @nn.compact
    def __call__(self, neighbours: Float[Array, "*b k c"]) -> Float[Array, "*b c2"]:
        # The masked tokens are all alike, so one stands for them until the logits need their positions.
        tokens = jnp.concatenate([neighbours, jnp.zeros_like(neighbours[..., :1, :])], axis=-2)
        tokens = nn.LayerNorm(epsilon=1e-5, name="norm1")(tokens)
        qkv = Dense(3 * self.features, name="qkv")(tokens)
        summed = neighbours.sum(-2) + self._attention_sum(qkv)
        mlp = Mlp(self.mlp_ratio * self.features, self.features, name="mlp")
        summed = summed + mlp(nn.LayerNorm(epsilon=1e-5, name="norm2")(summed))
        return Dense(2 * self.features, name="proj")(summed)

    def _attention_sum(self, qkv: Float[Array, "*b k1 c3"]) -> Float[Array, "*b c"]:
        """Attention among all window² tokens, summed over the queries."""
        count, distinct = self.window**2, qkv.shape[-2]
        shape = ((2 * self.window - 1) ** 2, self.heads)
        table = self.param("relative_position_bias", dense_init, shape)
        bias = jnp.moveaxis(table[relative_position_index(self.window)], -1, 0).astype(qkv.dtype)
        qkv = qkv[..., np.minimum(np.arange(count), distinct - 1), :]
        head_dim = self.features // self.heads
        q, k, v = jnp.moveaxis(qkv.reshape(*qkv.shape[:-1], 3, self.heads, head_dim), -3, 0)
        logits = jnp.einsum("...qhd,...khd->...hqk", q * head_dim**-0.5, k) + bias
        attended = jax.nn.softmax(logits, axis=-1).sum(-2)  # what all queries together give each key
        return jnp.einsum("...hk,...khd->...hd", attended, v).reshape(*qkv.shape[:-2], self.features)
