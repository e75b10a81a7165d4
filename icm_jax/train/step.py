"""One training step of any objective: loss, gradients of the trained subtree, optimiser, averaged weights.

batch ─► parts, one after another ─► mean loss and gradients ─► clip, update ─► average
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from icm_jax import paths
from icm_jax.train.compute import cast, rematerialised
from icm_jax.train.config import RunConfig
from icm_jax.train.objective import Batch, Metrics, Objective
from icm_jax.train.state import TrainState

Gradients = Callable[..., tuple[Any, tuple[Metrics, Any]]]  # -> gradients, (metrics, statistics)
TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]


def make_train_step(objective: Objective, config: RunConfig, tx: optax.GradientTransformation) -> TrainStep:
    """`step(state, batch, key) -> (state, metrics)`, not jitted.

    A step whose loss or gradient is not finite leaves parameters, average and optimiser as they were, counts one
    more in `state.rejected` and reports `finite` = False.
    """
    gradients = _accumulated(_gradients(objective, config), config.optim.accumulate)

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(key, state.step)
        rest = paths.merge(state.frozen, state.statistics)
        grads, (metrics, statistics) = gradients(state.params, rest, batch, state.step, key)
        metrics["grad_norm"] = optax.tree.norm(grads)
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(config.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
        average = jax.tree.map(lambda a, p: decay * a + (1.0 - decay) * p, state.average, params)
        taken = (params, average, opt_state, statistics)
        kept = (state.params, state.average, state.opt_state, state.statistics)
        params, average, opt_state, statistics = jax.tree.map(
            lambda a, b: jnp.where(finite, a, b), taken, kept
        )
        new = TrainState(
            step=state.step + 1,
            params=params,
            frozen=state.frozen,
            statistics=statistics,
            average=average,
            opt_state=opt_state,
            rejected=jnp.where(finite, 0, state.rejected + 1),
        )
        return new, metrics | {"finite": finite, "rejected": new.rejected}

    return step


def _gradients(objective: Objective, config: RunConfig) -> Gradients:
    def loss(params: Any, rest: Any, batch: Batch, step: Array, key: Array) -> tuple[Array, Any]:
        everything = cast(paths.merge(params, rest), config.compute.dtypes)
        with rematerialised(config.compute.remat):
            out = objective.loss(everything, batch, step, key)
        return out.value, ({"loss": out.value} | out.metrics, dict(out.statistics))

    return jax.grad(loss, has_aux=True)


def _accumulated(gradients: Gradients, parts: int) -> Gradients:
    """Mean gradients, metrics and statistics over `parts` equal parts of a batch, in the memory of one part."""
    if parts == 1:
        return gradients

    def accumulate(
        params: Any, rest: Any, batch: Batch, step: Array, key: Array
    ) -> tuple[Any, tuple[Metrics, Any]]:
        def add(total: Any, part: tuple[Batch, Array]) -> tuple[Any, None]:
            rows, part_key = part
            new = gradients(params, rest, rows, step, part_key)
            return jax.tree.map(jnp.add, total, new), None

        # Rows r, r + parts, …: each part takes its share from every device, so no row has to travel.
        batches = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
        keys = jax.random.split(key, parts)
        first = (jax.tree.map(lambda x: x[0], batches), keys[0])
        shapes = jax.eval_shape(gradients, params, rest, first[0], step, first[1])
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        total, _ = jax.lax.scan(add, zeros, (batches, keys))
        return jax.tree.map(lambda x: x / parts, total)

    return accumulate
