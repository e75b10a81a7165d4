"""Task Aggregation Module of All-in-One: features of all tasks share what they know, channel by channel.

    F of every task ─► Φ ─► weights ─► S = Σ over tasks of weights · F      T = F + S

S goes on along the main path of the decoder, T to the tasks' own heads. The paper fixes this flow; what it leaves
open are fields here (their reasons are in docs/adapters.md).

Features of tasks are a list, never one array: they are the largest data of a decoder, and every copy of them costs
time, for fresh pages of memory above all.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import Dense, gelu


class TaskAggregation(nn.Module):
    """One module for one scale.

    Attributes:
        hidden: width of Φ, a Dense, GELU, Dense.
        softmax_axis: "task": the tasks share each channel; "channel": softmax over all channels of all tasks, times c.
        phi: "pooled": Φ sees means over positions; "pixel": it runs at every position.
    """

    hidden: int
    softmax_axis: str = "task"
    phi: str = "pooled"

    @nn.compact
    def __call__(
        self, features: Sequence[Float[Array, "b h w c"]]
    ) -> tuple[Float[Array, "b h w c"], list[Float[Array, "b h w c"]]]:
        n, c = len(features), features[0].shape[-1]
        seen = [one.mean((1, 2), keepdims=True) for one in features] if self.phi == "pooled" else features
        logits = gelu(Dense(self.hidden, name="fc1")(jnp.concatenate(seen, axis=-1)))
        logits = Dense(n * c, kernel_init=nn.initializers.zeros, name="fc2")(logits)
        logits = logits.reshape(*logits.shape[:3], n, c)
        if self.softmax_axis == "channel":
            weights = c * jax.nn.softmax(logits, axis=(3, 4))
        else:
            weights = jax.nn.softmax(logits, axis=3)
        self.sow("intermediates", "weights", weights)
        # Products one by one: a reduction over an axis of tasks takes XLA nine times as long on a CPU.
        products = (weights[:, :, :, k] * one for k, one in enumerate(features))
        shared = sum(products, start=jnp.zeros((), features[0].dtype))
        return shared, [one + shared for one in features]
