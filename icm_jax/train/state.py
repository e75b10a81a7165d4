"""What a training step reads and writes."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array

from icm_jax.models import rate_family
from icm_jax.models.registry import build
from icm_jax.train.config import TrainConfig


class TrainState(struct.PyTreeNode):
    """Step number, parameters (one codec or a rate family), their average, optimiser state."""

    step: Array
    params: Any
    average: Any
    opt_state: optax.OptState


def initial_params(config: TrainConfig, key: Array) -> Any:
    """Fresh parameters: those of one codec, or a family when several rates are asked for."""
    model = build(config.model)
    image = jnp.zeros((1, config.data.crop, config.data.crop, 3))
    params = jax.jit(model.init)(key, image)["params"]
    rates = len(config.rate.lmbda)
    return params if rates == 1 else rate_family.expand(params, rates)


def initial_state(params: Any, tx: optax.GradientTransformation) -> TrainState:
    """State before the first step."""
    average = jax.tree.map(jnp.copy, params)  # a buffer of its own: the step donates both
    return TrainState(
        step=jnp.zeros((), jnp.int32), params=params, average=average, opt_state=tx.init(params)
    )
