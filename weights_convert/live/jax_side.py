"""A case here: stages, gradients, and the optimiser of training configs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from icm_jax import paths
from icm_jax.train.optimizer import optimizer
from weights_convert.live.case import Case
from weights_convert.live.comparison import Departure
from weights_convert.live.side import SCHEDULES, Leaves, Side, TrainStep, recipe


def run_jax(
    case: Case,
    state_dict: Mapping[str, np.ndarray],
    inputs: Mapping[str, np.ndarray],
    steps: int,
    precision: str,
    trained_paths: Sequence[str],
) -> Side:
    """Runs a case from PyTorch's state dict; gradients are those of `trained_paths`."""
    network, params = case.map.convert(state_dict)
    with _settings(precision):
        leaves = {path: jnp.asarray(leaf, precision) for path, leaf in paths.flatten(params).items()}
        arrays = {name: jnp.asarray(array, precision) for name, array in inputs.items()}
        initial = paths.unflatten({path: leaves[path] for path in trained_paths})
        frozen = {path: leaf for path, leaf in leaves.items() if path not in trained_paths}

        def loss(trained: Any) -> tuple[Any, Any]:
            stages = case.forward(network, paths.unflatten({**frozen, **paths.flatten(trained)}), arrays)
            return stages["loss"], stages

        run = jax.jit(jax.value_and_grad(loss, has_aux=True))  # compiled once: most of the time is compiling
        (_, stages), gradients = run(initial)
    as_arrays = {name: np.asarray(stage) for name, stage in stages.items()}
    trainings = {name: partial(_trained, run, initial, name, steps, precision) for name in SCHEDULES}
    return Side(as_arrays, _leaves(gradients), trainings)


@contextmanager
def _settings(precision: str) -> Iterator[None]:
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        yield


def _trained(run: Any, trained: Any, schedule: str, steps: int, precision: str) -> Iterator[TrainStep]:
    adam = optimizer(recipe(schedule, steps))
    with _settings(precision):
        state = adam.init(trained)

    @jax.jit
    def step(gradients: Any, state: Any, trained: Any) -> tuple[Any, Any]:
        updates, state = adam.update(gradients, state, trained)
        return optax.apply_updates(trained, updates), state

    for _ in range(steps):
        with _settings(precision):
            (loss, _), gradients = run(trained)
            trained, state = step(gradients, state, trained)
        yield TrainStep(float(loss), _leaves(trained))


def _leaves(tree: Any) -> Leaves:
    return {path: np.asarray(leaf) for path, leaf in paths.flatten(tree).items()}


def departures_of(
    case: Case, state_dict: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]
) -> list[Departure]:
    """What our defaults make of the same weights and inputs, in float32."""
    network, params = case.map.convert(state_dict)
    arrays = {name: jnp.asarray(array, jnp.float32) for name, array in inputs.items()}
    with jax.default_matmul_precision("highest"):
        return case.departures(network, params, arrays)
