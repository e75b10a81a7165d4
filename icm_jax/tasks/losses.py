"""Losses of dense tasks, as multi-task learning on PASCAL-Context and NYUD uses them.

S. Vandenhende et al., "MTI-Net", ECCV 2020. Its weights are semseg 1, human parts 2, saliency 5, normals 10,
edge 50, depth 1. Labels of 255 count nowhere. A batch without any valid label has loss 0 and gradient 0.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

IGNORE = 255
EPS_REFERENCE = 1e-12  # the shortest vector that is divided by its length


def cross_entropy(logits: Float[Array, "b h w c"], label: Int[Array, "b h w"]) -> Float[Array, ""]:
    """Softmax cross-entropy in nats, mean over valid pixels: semantic segmentation and human parts."""
    valid = label != IGNORE
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    true_class = jnp.where(valid, label, 0)
    nats = -jnp.take_along_axis(log_p, true_class[..., None], axis=-1)[..., 0]
    return _mean_where(nats, valid)


def balanced_cross_entropy(logits: Float[Array, "b h w 2"], label: Int[Array, "b h w"]) -> Float[Array, ""]:
    """Softmax cross-entropy of two classes, each weighted by the share of the other in the batch: saliency of InvPT.

    Divided by the number of valid pixels, not by the sum of their weights.
    """
    margin = logits[..., 1] - logits[..., 0]
    return balanced_binary_cross_entropy(margin, label)


def balanced_binary_cross_entropy(
    logits: Float[Array, "b h w"], label: Float[Array, "b h w"], positive_weight: float | None = None
) -> Float[Array, ""]:
    """Binary cross-entropy in nats, positives weighted by w, negatives by 1 - w; mean over valid pixels.

    Args:
        label: 0 or 1, 255 to leave out.
        positive_weight: w; None takes the share of negatives in the batch, which gives both classes an equal
            say (HED, S. Xie and Z. Tu, ICCV 2015). Saliency uses None, edges 0.95.
    """
    valid = label != IGNORE
    y = jnp.where(valid, label, 0).astype(jnp.float32)
    x = logits.astype(jnp.float32)
    w = _mean_where(1 - y, valid) if positive_weight is None else positive_weight
    nats = w * y * jax.nn.softplus(-x) + (1 - w) * (1 - y) * jax.nn.softplus(x)
    return _mean_where(nats, valid)


def depth_l1(prediction: Float[Array, "b h w"], label: Float[Array, "b h w"]) -> Float[Array, ""]:
    """Mean absolute error in metres over valid pixels."""
    valid = label != IGNORE
    error = prediction.astype(jnp.float32) - jnp.where(valid, label, 0)
    return _mean_where(jnp.abs(error), valid)


def normals_l1(prediction: Float[Array, "b h w 3"], label: Float[Array, "b h w 3"]) -> Float[Array, ""]:
    """Mean absolute error over the three entries of valid normals.

    Predictions are scaled to unit length first; labels have it, or are 255 in all entries to be left out.
    """
    valid = label != IGNORE
    error = unit_vectors(prediction.astype(jnp.float32)) - jnp.where(valid, label, 0)
    return _mean_where(jnp.abs(error), valid)


def unit_vectors(vectors: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
    """Vectors over their length. A zero vector stays zero, with gradient 0 where a plain norm has none."""
    squares = (vectors**2).sum(axis=-1, keepdims=True)
    is_short = squares < EPS_REFERENCE**2
    return jnp.where(is_short, 0, vectors / jnp.sqrt(jnp.where(is_short, 1, squares)))


def _mean_where(values: Array, valid: Array) -> Array:
    """Mean of the values at valid places, 0 where there is none."""
    return jnp.where(valid, values, 0).sum() / jnp.maximum(valid.sum(), 1)
