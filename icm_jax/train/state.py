"""What a training step reads and writes."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array


class TrainState(struct.PyTreeNode):
    """State of a run; everything in it is donated to the step and comes back.

    Attributes:
        step: steps taken.
        params: the trained subtree, float32.
        frozen: parameters that stay; no gradient is taken of them and the optimiser knows nothing of them.
        statistics: what steps change without a gradient, such as running means of batch norms.
        average: exponential average of `params`.
        opt_state: the optimiser's state of `params`.
        rejected: steps in a row that were not applied because loss or gradient was not finite.
    """

    step: Array
    params: Any
    frozen: Any
    statistics: Any
    average: Any
    opt_state: optax.OptState
    rejected: Array


def initial_state(params: Any, frozen: Any, statistics: Any, tx: optax.GradientTransformation) -> TrainState:
    """State before the first step."""
    average = jax.tree.map(jnp.copy, params)  # a buffer of its own: the step donates both
    zero = jnp.zeros((), jnp.int32)
    return TrainState(zero, params, frozen, statistics, average, tx.init(params), jnp.zeros((), jnp.int32))
