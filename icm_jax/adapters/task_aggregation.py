"""Task Aggregation Module of All-in-One: features of all tasks share what they know, channel by channel.

    F [b, n, h, w, c] ─► Φ ─► weights ─► S = Σ over tasks of weights · F      T = F + S

S goes on along the main path of the decoder, T to the tasks' own heads. The paper fixes this flow; what it leaves
open are fields here (their reasons are in docs/adapters.md).
"""

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
        self, features: Float[Array, "b n h w c"]
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b n h w c"]]:
        n, c = features.shape[1], features.shape[4]
        x = features.mean(axis=(2, 3), keepdims=True) if self.phi == "pooled" else features
        x = jnp.moveaxis(x, 1, 3)
        logits = gelu(Dense(self.hidden, name="fc1")(x.reshape(*x.shape[:3], n * c)))
        logits = Dense(n * c, kernel_init=nn.initializers.zeros, name="fc2")(logits)
        if self.softmax_axis == "channel":
            weights = c * jax.nn.softmax(logits, axis=-1).reshape(x.shape)
        else:
            weights = jax.nn.softmax(logits.reshape(x.shape), axis=3)
        weights = jnp.moveaxis(weights, 3, 1)
        self.sow("intermediates", "weights", weights)
        # One pass over the features: a reduction over the axis of tasks takes XLA nine times as long on a CPU.
        products = (weights[:, k] * features[:, k] for k in range(n))
        shared = sum(products, start=jnp.zeros((), features.dtype))
        return shared, features + shared[:, None]
