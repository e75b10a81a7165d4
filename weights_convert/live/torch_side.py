"""A case in PyTorch: stages, gradients, and its own Adam under its own schedules. Needs torch."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, PolynomialLR

from weights_convert.keymap import find_rule
from weights_convert.live.case import Case
from weights_convert.live.side import (
    LEARNING_RATE,
    MILESTONES,
    POWER,
    SCHEDULES,
    WEIGHT_DECAY,
    Leaves,
    Side,
    TrainStep,
)


def run_torch(
    case: Case, model: nn.Module, initial: Mapping[str, Tensor], inputs: Mapping[str, np.ndarray], steps: int
) -> Side:
    """Runs a module from its initial state dict, in the precision it has."""
    dtype = next(model.parameters()).dtype
    tensors = {name: torch.from_numpy(_to_nchw(array)).to(dtype) for name, array in inputs.items()}
    network = case.map.network({key: tuple(value.shape) for key, value in initial.items()})
    rules = case.map.rules(network)

    def in_our_layout(arrays: Mapping[str, Tensor]) -> Leaves:
        leaves = {}
        prepared = case.map.prepare({name: tensor.detach().numpy() for name, tensor in arrays.items()})
        for name, array in prepared.items():
            found = find_rule(name, rules)
            if found is not None and found[1] is not None:
                leaves[found[1]] = found[0].layout.forward(array).copy()
        return leaves

    model.load_state_dict(initial)
    model.zero_grad()
    stages = model(**tensors)
    stages["loss"].backward()
    trained = {name: p for name, p in model.named_parameters() if p.grad is not None}
    gradients = in_our_layout({name: p.grad for name, p in trained.items() if p.grad is not None})

    def training(name: str) -> Iterator[TrainStep]:
        model.to(dtype).load_state_dict(initial)  # another precision may have been run in between
        adam = torch.optim.Adam(trained.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = _schedule(name, adam, steps)
        for _ in range(steps):
            adam.zero_grad()
            loss = model(**tensors)["loss"]
            loss.backward()
            adam.step()
            schedule.step()
            yield TrainStep(loss.item(), in_our_layout(trained))

    shown = {name: _to_nhwc(stage.detach().numpy()) for name, stage in stages.items()}
    return Side(shown, gradients, {name: partial(training, name) for name in SCHEDULES})


def _schedule(name: str, adam: torch.optim.Optimizer, steps: int) -> LRScheduler:
    made: dict[str, Any] = {
        "polynomial": lambda: PolynomialLR(adam, steps, POWER),
        "milestones": lambda: MultiStepLR(adam, [round(steps * at) for at in MILESTONES], 0.5),
    }
    schedule: LRScheduler = made[name]()
    return schedule


def _to_nchw(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if array.ndim == 4 else array


def _to_nhwc(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array
