"""Greedy non-maximum suppression with a fixed number of survivors, and so of fixed shapes."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from icm_jax.recognizers.detection.boxes import iou


def best_survivors(
    boxes: Float[Array, "n 4"],
    scores: Float[Array, "n"],
    groups: Int[Array, "n"],
    threshold: float,
    count: int,
) -> tuple[Int[Array, "count"], Bool[Array, "count"]]:
    """Indexes of the `count` best boxes that no better box of their group overlaps by more than `threshold`.

    They come by falling score; of equal ones the first. The second result says which exist at all. A score of -inf
    takes a box out. Picking the best of what is left, `count` times, is exact for any n: no list of candidates has
    to be cut before, and boxes that would survive beyond `count` cost nothing.
    """

    def pick(alive: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        best = jnp.argmax(alive)
        suppressed = (iou(boxes[best], boxes) > threshold) & (groups == groups[best])
        found = alive[best] > -jnp.inf
        return jnp.where(suppressed, -jnp.inf, alive).at[best].set(-jnp.inf), (best, found)

    _, (indexes, found) = jax.lax.scan(pick, scores, length=count)
    return indexes, found
