"""Task Aggregation Module of All-in-One: features of all tasks share what they know, channel by channel.

    F of every task ─► Φ ─► weights ─► S = Σ over tasks of weights · F      T = F + S

S goes on along the main path of the decoder, T to the tasks' own heads. The paper fixes this flow; what it leaves
open are fields here (their reasons are in docs/adapters.md).

Features F of a task are x, the same for all, plus a change of its own. They are the largest data of a decoder and
are never added up: what is the same is read, resized and averaged once. Changes are a list, not one array: every copy
of them costs time, for fresh pages of memory above all.
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
        self,
        x: Float[Array, "b h w c"],
        changes: Sequence[Float[Array, "b h w c"]],
        means: Sequence[Float[Array, "b 1 1 c"]],
    ) -> Float[Array, "b h w c"]:
        """S. `means` are those of the changes over positions, which their makers have cheaper."""
        n, c = len(changes), x.shape[-1]
        if self.phi == "pooled":
            seen = [x.mean((1, 2), keepdims=True) + mean for mean in means]
        else:
            seen = [x + change for change in changes]
        logits = gelu(Dense(self.hidden, name="fc1")(jnp.concatenate(seen, axis=-1)))
        logits = Dense(n * c, kernel_init=nn.initializers.zeros, name="fc2")(logits)
        logits = logits.reshape(*logits.shape[:3], n, c)
        if self.softmax_axis == "channel":
            weights = c * jax.nn.softmax(logits, axis=(3, 4))
        else:
            weights = jax.nn.softmax(logits, axis=3)
        self.sow("intermediates", "weights", weights)
        return weighted_sum([weights.sum(3), *jnp.moveaxis(weights, 3, 0)], [x, *changes])


def weighted_sum(
    weights: Sequence[Float[Array, "b #h #w c"]], features: Sequence[Float[Array, "b h w c"]]
) -> Float[Array, "b h w c"]:
    """Σ weights · features.

    Products one by one: a reduction over an axis of tasks takes XLA nine times as long on a CPU. And as rows of a
    matrix, which the product at the end of g_s takes as they are: in another form XLA would not keep the sum, but
    compute it again wherever it is read.
    """
    shape = features[0].shape

    def rows(x: Array) -> Array:
        return jnp.broadcast_to(x, shape).reshape(-1, shape[-1])

    products = (rows(weight) * rows(one) for weight, one in zip(weights, features, strict=True))
    return sum(products, start=jnp.zeros((), features[0].dtype)).reshape(shape)
