"""Learning-rate schedules and the optimiser of the trained parameters: one for networks, one for quantiles."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from icm_jax import paths
from icm_jax.train.config import OptimConfig


def schedule(config: OptimConfig) -> optax.Schedule:
    """Learning rate by step, warm-up included."""
    peak, total = config.learning_rate, config.total_steps
    if config.schedule == "milestones":
        factors = {round(total * at): config.milestone_factor for at in config.milestones}
        main = optax.piecewise_constant_schedule(peak, factors)
    elif config.schedule == "cosine":
        start = round(total * config.decay_start)
        decay = optax.cosine_decay_schedule(peak, max(1, total - start), config.final_fraction)
        main = optax.join_schedules([optax.constant_schedule(peak), decay], [start])
    elif config.schedule == "polynomial":
        main = optax.polynomial_schedule(peak, 0.0, config.power, total)
    else:
        main = optax.constant_schedule(peak)
    warmup = config.warmup_steps
    return lambda step: main(step) * (1.0 if warmup == 0 else jax.numpy.minimum(1.0, (step + 1) / warmup))


def optimizer(config: OptimConfig) -> optax.GradientTransformation:
    """Clipped Adam, AdamW or Muon for the networks; Adam of its own for leaves named `quantiles`.

    Raises (at `init`):
        IcmError: a rule of `config.rates` or `config.decay` that decides no trained parameter.
    """
    rate, decay = schedule(config), []
    if config.weight_decay:
        decay.append(
            _by_rules(config.decay, "optim.decay", lambda u, p, factor: u + config.weight_decay * factor * p)
        )
    parts = [optax.clip_by_global_norm(config.clip_norm)]
    if config.optimizer == "muon":
        # RMS-matched to Adam, so that one learning rate serves kernels (Muon) and everything else (Adam).
        parts += [*decay, muon(rate, muon_weight_dimension_numbers=_matrices, consistent_rms=0.2)]
    elif config.optimizer == "adamw":
        parts += [optax.scale_by_adam(), *decay, optax.scale_by_learning_rate(rate)]
    else:
        parts += [*decay, optax.adam(rate)]
    if config.rates:
        parts.append(_by_rules(config.rates, "optim.rates", lambda u, p, factor: u * factor))
    return optax.partition(
        {"network": optax.chain(*parts), "quantiles": optax.adam(config.aux_learning_rate)}, _labels
    )


def _by_rules(
    rules: tuple[paths.Rule[float], ...], name: str, change: Callable[[Any, Any, float], Any]
) -> optax.GradientTransformation:
    """A stateless transformation `change(update, parameter, factor)`; factors by path rules, 1 by default."""

    def factors(params: Any) -> Any:
        leaves = {
            path: leaf
            for path, leaf in paths.flatten(params).items()
            if not isinstance(leaf, optax.MaskedNode)
        }
        return paths.flatten(paths.assign(paths.unflatten(leaves), rules, 1.0, name))

    def init(params: Any) -> optax.EmptyState:
        factors(params)  # refuses a useless rule before the first step
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        by_path, flat = factors(params), paths.flatten(params)
        changed = {
            path: change(value, flat[path], by_path[path]) if path in by_path else value
            for path, value in paths.flatten(updates).items()
        }
        return paths.unflatten(changed), state

    return optax.GradientTransformation(init, update)


def _labels(params: Any) -> Any:
    def label(path: tuple[Any, ...], _: Any) -> str:
        return "quantiles" if "quantiles" in jax.tree_util.keystr(path[-1:]) else "network"

    return jax.tree_util.tree_map_with_path(label, params)


def _matrices(params: Any) -> Any:
    """Kernels as matrices [everything else, output channels]; None leaves a parameter to Adam."""

    def dimensions(path: tuple[Any, ...], leaf: Any) -> MuonDimensionNumbers | None:
        if leaf.ndim < 2 or not jax.tree_util.keystr(path[-1:]).rstrip("']").endswith("kernel"):
            return None
        return MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), (leaf.ndim - 1,))

    return jax.tree_util.tree_map_with_path(dimensions, params)
