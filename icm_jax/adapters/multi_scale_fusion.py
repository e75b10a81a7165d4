"""Multi-Scale Fusion of All-in-One: a task's coarse features say where its fine ones are gathered from.

    [F1; F2] ─► q, k      F3 ─► v      softmax(q kᵀ / √d) v      all on the grid of F1; the result goes to F3's own

Attention between all positions of an image does not fit any budget, so it runs inside windows; "channel" attends
between channels instead.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.conv import Conv
from icm_jax.layers.resize import bilinear
from icm_jax.layers.window_attention import PADDING_PENALTY, WindowGrid


class MultiScaleFusion(nn.Module):
    """F1, F2, F3 on the grid of H/8 -> features at H/2 that are added to F3 (or to what stands for it).

    Attributes:
        width: channels d of queries and keys.
        window: side of the windows on F1's grid.
        axis: what attends to what, "window" (positions) or "channel".
    """

    width: int
    window: int
    axis: str = "window"

    @nn.compact
    def __call__(
        self,
        coarse: Float[Array, "b h8 w8 c1"],
        middle: Float[Array, "b h8 w8 c2"],
        fine: Float[Array, "b h8 w8 c3"],
        size: tuple[int, int],
    ) -> Float[Array, "b h2 w2 c3"]:
        features = jnp.concatenate([coarse, middle], axis=-1)
        q, k = Conv(self.width, 1, name="q")(features), Conv(self.width, 1, name="k")(features)
        if self.axis == "window":
            fused = self.between_positions(q, k, Conv(fine.shape[-1], 1, name="v")(fine))
        else:
            fused = between_channels(q, k, Conv(self.width, 1, name="v")(fine))
            fused = Conv(fine.shape[-1], 1, name="out")(fused)
        self.sow("intermediates", "coarse", fused)
        return bilinear(fused, size)

    def between_positions(
        self, q: Float[Array, "b h w d"], k: Float[Array, "b h w d"], v: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        """Attention of every position to those of its window, one head; what pads the map is hidden."""
        grid = WindowGrid(q.shape[1], q.shape[2], self.window, 0)
        q, k, v = (grid.windows(x) for x in (q, k, v))
        logits = (q @ k.swapaxes(-1, -2)).astype(jnp.float32) * self.width**-0.5
        regions = grid.regions()
        if regions is not None:
            logits = logits + jnp.where(jnp.asarray(regions) < 0, PADDING_PENALTY, 0.0)[None, :, None, :]
        return grid.joined(jax.nn.softmax(logits, axis=-1).astype(v.dtype) @ v)


def between_channels(
    q: Float[Array, "b h w d"], k: Float[Array, "b h w d"], v: Float[Array, "b h w d"]
) -> Float[Array, "b h w d"]:
    """Attention of every channel to all channels, from the cosine of their maps (as in Restormer, CVPR 2022)."""
    b, h, w, d = v.shape
    q, k, v = (x.reshape(b, h * w, -1) for x in (q, k, v))
    q, k = (x / jnp.sqrt((x * x).sum(1, keepdims=True) + 1e-12) for x in (q, k))
    weights = jax.nn.softmax((q.swapaxes(1, 2) @ k).astype(jnp.float32), axis=-1).astype(v.dtype)
    return (v @ weights.swapaxes(1, 2)).reshape(b, h, w, d)
