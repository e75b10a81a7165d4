"""What either framework computes of a case, and the training that both run."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from icm_jax.train.config import OptimConfig

Leaves = dict[str, np.ndarray]

# Adam with coupled weight decay as the published recipes have it, at their learning rate.
LEARNING_RATE, WEIGHT_DECAY, POWER, MILESTONES = 1e-4, 1e-4, 0.9, (0.4, 0.8)
SCHEDULES: dict[str, dict[str, Any]] = {
    "polynomial": {"power": POWER},
    "milestones": {"milestones": MILESTONES},
}


def recipe(schedule: str, steps: int) -> OptimConfig:
    """The training config of a schedule; gradients are not clipped."""
    return OptimConfig(
        learning_rate=LEARNING_RATE,
        total_steps=steps,
        schedule=schedule,
        **SCHEDULES[schedule],
        weight_decay=WEIGHT_DECAY,
        clip_norm=float("inf"),
    )


class TrainStep(NamedTuple):
    """The loss before a step, and all trained leaves after it."""

    loss: float
    parameters: Leaves


class Side(NamedTuple):
    """What one framework computes in one precision; maps and leaves in our layout.

    A training, by schedule, runs while its steps are taken: parameters of all steps together are gigabytes.
    """

    stages: Leaves
    gradients: Leaves
    trainings: Mapping[str, Callable[[], Iterator[TrainStep]]]
