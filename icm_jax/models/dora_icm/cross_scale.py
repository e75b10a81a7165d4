"""Attention of the low-complexity decoder: few queries, fewer keys, and the scores of the scale before.

    x [b, t, h, w, c], t tasks
    queries  depthwise 3×3, stride 2 ─► linear        h/2 · w/2 a task
    keys     depthwise k×k, stride k ─► linear        always as many as at the first scale: k doubles with the size
    scores   q kᵀ / √d + α · previous scores, their queries enlarged to this scale     before the softmax
    output   softmax(scores) v ─► linear ─► enlarged to h×w

DoRA-ICM (Zhang et al.), section 2.4 and, for several tasks, supplement 1.6: all their tokens attend to one another.
"""

from typing import NamedTuple

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.attention import batched_dot, softmax_dot
from icm_jax.layers.bicubic import bicubic
from icm_jax.layers.dense import Dense, Initializer, dense_init
from icm_jax.layers.depthwise import DepthwiseConv
from icm_jax.layers.rotary import rotary_table, rotate

QUERY_STRIDE = 2


class Scores(NamedTuple):
    """Scaled, fused scores before the softmax; the queries of each task lie on `grid`."""

    values: Float[Array, "b heads tq tk"]
    grid: tuple[int, int]


def enlarge(scores: Scores, grid: tuple[int, int], tasks: int) -> Float[Array, "b heads tq2 tk"]:
    """Scores of the queries of another grid, by bicubic interpolation; keys stay as they are."""
    b, heads, _, keys = scores.values.shape
    maps = scores.values.reshape(b * heads * tasks, *scores.grid, keys)
    return bicubic(maps, grid).reshape(b, heads, -1, keys)


class CrossScaleAttention(nn.Module):
    """See above."""

    heads: int
    key_stride: int
    output_init: Initializer = dense_init

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t h w c"], previous: Scores | None, weight: Float[Array, ""] | None
    ) -> tuple[Float[Array, "b t h w c"], Scores]:
        b, tasks, h, w, width = x.shape
        maps = x.reshape(b * tasks, h, w, width)
        query_maps = DepthwiseConv(
            3, QUERY_STRIDE, use_bias=False, kernel_init=nn.initializers.normal(1 / 3), name="dw_q"
        )(maps)
        grid = query_maps.shape[1:3]
        q = self._tokens(Dense(width, name="q_proj")(query_maps), tasks, rotated=True)
        key_maps, value_maps = self._pooled("dw_k")(maps), self._pooled("dw_v")(maps)
        k = self._tokens(Dense(width, use_bias=False, name="k_proj")(key_maps), tasks, rotated=True)
        v = self._tokens(Dense(width, name="v_proj")(value_maps), tasks, rotated=False)
        values = batched_dot(q * (width // self.heads) ** -0.5, k, contract_last=True)
        if previous is not None and weight is not None:
            values = values + weight.astype(values.dtype) * enlarge(previous, grid, tasks)
        out = softmax_dot(values, v).transpose(0, 2, 1, 3).reshape(b * tasks, *grid, width)
        out = Dense(width, kernel_init=self.output_init, name="proj")(out)
        return bicubic(out, (h, w)).reshape(x.shape), Scores(values, grid)

    def _pooled(self, name: str) -> DepthwiseConv:
        """Starts as a mean over its window."""
        k = self.key_stride
        mean = nn.initializers.constant(1 / (k * k))
        return DepthwiseConv(k, k, use_bias=False, kernel_init=mean, name=name)

    def _tokens(
        self, maps: Float[Array, "bt h w c"], tasks: int, rotated: bool
    ) -> Float[Array, "b heads tn d"]:
        bt, h, w, width = maps.shape
        tokens = maps.reshape(bt // tasks, tasks, h * w, self.heads, width // self.heads)
        if rotated:
            tokens = rotate(tokens, rotary_table((h, w), tokens.shape[-1], dtype=tokens.dtype))
        return tokens.reshape(len(tokens), -1, *tokens.shape[3:]).transpose(0, 2, 1, 3)
