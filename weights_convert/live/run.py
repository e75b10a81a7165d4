"""Runs a case on both sides: forward, loss, gradients of every trainable leaf, and steps of Adam side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from icm_jax import paths
from icm_jax.errors import IcmError
from weights_convert.keymap import ConversionError, find_rule
from weights_convert.live import report
from weights_convert.live.case import Case
from weights_convert.live.cases import CASES
from weights_convert.live.comparison import AdamStep, Comparison
from weights_convert.live.difference import difference

PRECISIONS = ("float32", "float64")
FLOAT32_LIMIT, GRADIENT_FACTOR = (
    2e-4,
    10.0,
)  # relative difference of stages; gradients may differ this much more
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-4

Leaves = dict[str, np.ndarray]


class Side(NamedTuple):
    """What one framework computes in one precision; maps and leaves in our layout."""

    stages: Leaves
    gradients: Leaves
    losses: list[float]
    trajectory: list[Leaves]


def compare_live(name: str, seed: int = 0, steps: int = 20) -> list[Comparison]:
    """Runs a case in both frameworks and both precisions.

    Raises:
        IcmError: an unknown case, or PyTorch is not installed.
    """
    if name not in CASES:
        raise IcmError(f"no live comparison is called {name!r}; choose one of {', '.join(CASES)}")
    torch = require_torch()
    case = CASES[name]
    torch.manual_seed(seed)
    model = case.reference().eval()
    initial = {key: value.clone() for key, value in model.state_dict().items()}
    inputs = case.inputs(np.random.default_rng(seed))
    theirs = {}
    for precision in PRECISIONS:
        model.to(getattr(torch, precision)).load_state_dict(initial)
        theirs[precision] = _run_torch(case, model, inputs, steps)
    state_dict = {key: value.numpy() for key, value in initial.items()}
    return [
        _compare(
            case, precision, _run_jax(case, state_dict, inputs, steps, precision, theirs[precision]), theirs
        )
        for precision in PRECISIONS
    ]


def require_torch() -> Any:
    """PyTorch, or an IcmError that says how to get it."""
    try:
        import torch
    except ModuleNotFoundError:
        raise IcmError("live comparisons run PyTorch; pip install 'icm-jax[parity]'") from None
    return torch


def _compare(case: Case, precision: str, ours: Side, sides: Mapping[str, Side]) -> Comparison:
    theirs, exact = sides[precision], sides["float64"]
    missing = set(theirs.stages) ^ set(ours.stages)
    if missing:
        raise ConversionError(f"only one side has the stages {', '.join(sorted(missing))}")
    # Below the last place of the network's largest gradient a leaf has no digits to compare.
    floor = max(float(np.spacing(np.abs(leaf).max())) for leaf in theirs.gradients.values())
    adam = [
        AdamStep(step, a, b, max(float(np.abs(x[path] - y[path]).max()) for path in y) / LEARNING_RATE)
        for step, (a, b, x, y) in enumerate(
            zip(ours.losses, theirs.losses, ours.trajectory, theirs.trajectory, strict=True)
        )
    ]
    return Comparison(
        precision,
        [difference(name, ours.stages[name], stage) for name, stage in theirs.stages.items()],
        [difference(path, ours.gradients[path], leaf, floor) for path, leaf in theirs.gradients.items()],
        adam,
        {}
        if precision == "float64"
        else {
            name: difference(name, stage, exact.stages[name]).relative
            for name, stage in theirs.stages.items()
        },
        FLOAT32_LIMIT if precision == "float32" else case.float64_limit,
    )


def _run_torch(case: Case, model: Any, inputs: Mapping[str, np.ndarray], steps: int) -> Side:
    torch = require_torch()
    dtype = next(model.parameters()).dtype
    tensors = {name: torch.from_numpy(_to_nchw(array)).to(dtype) for name, array in inputs.items()}
    network = case.map.network({key: tuple(value.shape) for key, value in model.state_dict().items()})
    rules = case.map.rules(network)

    def in_our_layout(arrays: Mapping[str, Any]) -> Leaves:
        leaves = {}
        prepared = case.map.prepare({name: tensor.detach().numpy() for name, tensor in arrays.items()})
        for name, array in prepared.items():
            found = find_rule(name, rules)
            if found is not None and found[1] is not None:
                leaves[found[1]] = found[0].layout.forward(array).copy()
        return leaves

    model.zero_grad()
    stages = model(**tensors)
    stages["loss"].backward()
    trained = {name: p for name, p in model.named_parameters() if p.grad is not None}
    gradients = in_our_layout({name: p.grad for name, p in trained.items()})
    adam = torch.optim.Adam(trained.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    losses, trajectory = [], []
    for _ in range(max(steps, 1)):
        adam.zero_grad()
        loss = model(**tensors)["loss"]
        loss.backward()
        adam.step()
        losses.append(loss.item())
        trajectory.append(in_our_layout(trained))
    return Side({k: _to_nhwc(v.detach().numpy()) for k, v in stages.items()}, gradients, losses, trajectory)


def _run_jax(
    case: Case,
    state_dict: Mapping[str, np.ndarray],
    inputs: Mapping[str, np.ndarray],
    steps: int,
    precision: str,
    theirs: Side,
) -> Side:
    network, params = case.map.convert(state_dict)
    with jax.enable_x64(precision == "float64"), jax.default_matmul_precision("highest"):
        leaves = {path: jnp.asarray(leaf, precision) for path, leaf in paths.flatten(params).items()}
        arrays = {name: jnp.asarray(array, precision) for name, array in inputs.items()}
        trained = {path: leaves[path] for path in theirs.gradients}
        frozen = {path: leaf for path, leaf in leaves.items() if path not in trained}

        def loss(trained: dict[str, Any]) -> tuple[Any, Any]:
            stages = case.forward(network, paths.unflatten({**frozen, **trained}), arrays)
            return stages["loss"], stages

        adam = optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optax.adam(LEARNING_RATE))

        @jax.jit  # one program for everything: compiling is most of the time
        def advance(trained: Any, state: Any) -> tuple[Any, Any, Any, Any]:
            (_, stages), gradients = jax.value_and_grad(loss, has_aux=True)(trained)
            updates, state = adam.update(gradients, state, trained)
            return optax.apply_updates(trained, updates), state, stages, gradients

        state, losses, trajectory, first = adam.init(trained), [], [], None
        for _ in range(max(steps, 1)):
            trained, state, stages, gradients = advance(trained, state)
            first = first or (stages, gradients)
            losses.append(float(stages["loss"]))
            trajectory.append({path: np.asarray(leaf) for path, leaf in trained.items()})
    assert first is not None
    stages, gradients = first
    as_arrays = {name: np.asarray(stage) for name, stage in stages.items()}
    return Side(as_arrays, {path: np.asarray(g) for path, g in gradients.items()}, losses, trajectory)


def _to_nchw(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if array.ndim == 4 else array


def _to_nhwc(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def run_live(names: Sequence[str], seed: int, steps: int, folder: Path | None, as_json: bool) -> int:
    """Compares cases and prints tables; writes pages and JSON to `folder`. Returns 0 if all pass, else 1."""
    torch = require_torch()
    records, passed = [], True
    for name in names:
        comparisons = compare_live(name, seed, steps)
        facts = {"seed": seed, "steps": steps, "torch": torch.__version__, "jax": jax.__version__}
        facts |= {"device": jax.devices()[0].device_kind}
        passed &= all(found.passed for found in comparisons)
        title = f"{name}: {CASES[name].title}"
        records.append(report.to_json(name, title, comparisons, facts))
        if not as_json:
            print(report.format_text(title, comparisons), flush=True)
        if folder is not None:
            report.write_report(folder, name, title, comparisons, facts)
    if as_json:
        print(json.dumps({"passed": passed, "cases": records}, indent=1))
    return 0 if passed else 1
