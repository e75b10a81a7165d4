"""Runs a case on both sides: forward, loss, gradients of every trainable leaf, and steps of Adam side by side."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icm_jax.errors import IcmError
from weights_convert.keymap import ConversionError
from weights_convert.live import report
from weights_convert.live.case import Case
from weights_convert.live.cases import CASES
from weights_convert.live.comparison import FLOAT32, FLOAT64, STAGE_LIMITS, AdamStep, Comparison, Departure
from weights_convert.live.difference import difference
from weights_convert.live.jax_side import departures_of, run_jax
from weights_convert.live.side import Leaves, Side, TrainStep

PRECISIONS = (FLOAT32, FLOAT64)


def compare_live(name: str, seed: int = 0, steps: int = 20) -> list[Comparison]:
    """Runs a case in both frameworks and both precisions.

    Raises:
        IcmError: an unknown case, no steps, or PyTorch is not installed.
    """
    if name not in CASES:
        raise IcmError(f"no live comparison is called {name!r}; choose one of {', '.join(CASES)}")
    if steps < 1:
        raise IcmError(f"--steps {steps}: at least 1 is compared")
    torch = require_torch()
    from weights_convert.live.torch_side import run_torch

    case = CASES[name]
    torch.manual_seed(seed)
    model = case.reference().eval()
    initial = {key: value.clone() for key, value in model.state_dict().items()}
    inputs = case.inputs(np.random.default_rng(seed))
    theirs = {
        precision: run_torch(case, model.to(getattr(torch, precision)), initial, inputs, steps)
        for precision in PRECISIONS
    }
    state_dict = {key: value.numpy() for key, value in initial.items()}
    departures = departures_of(case, state_dict, inputs)
    return [
        _compare(
            case,
            precision,
            run_jax(case, state_dict, inputs, steps, precision, list(theirs[precision].gradients)),
            theirs,
            departures,
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


def _compare(
    case: Case, precision: str, ours: Side, sides: Mapping[str, Side], departures: list[Departure]
) -> Comparison:
    theirs, exact = sides[precision], sides[FLOAT64]
    missing = set(theirs.stages) ^ set(ours.stages)
    if missing:
        raise ConversionError(f"only one side has the stages {', '.join(sorted(missing))}")
    # Below the last place of the network's largest gradient a leaf has no digits to compare.
    floor = max(float(np.spacing(np.abs(leaf).max())) for leaf in theirs.gradients.values())
    reference_error, own_error = (
        {name: difference(name, side.stages[name], stage).relative for name, stage in exact.stages.items()}
        if precision == FLOAT32
        else {}
        for side in (theirs, ours)
    )
    return Comparison(
        precision,
        [difference(name, ours.stages[name], stage) for name, stage in theirs.stages.items()],
        [difference(path, ours.gradients[path], leaf, floor) for path, leaf in theirs.gradients.items()],
        {name: _steps(training(), theirs.trainings[name]()) for name, training in ours.trainings.items()},
        reference_error,
        own_error,
        case.float32_limit if precision == FLOAT32 else STAGE_LIMITS[precision],
        departures,
    )


def _steps(ours: Iterable[TrainStep], theirs: Iterable[TrainStep]) -> list[AdamStep]:
    pairs = enumerate(zip(ours, theirs, strict=True))
    return [AdamStep(i, a.loss, b.loss, *_apart(a.parameters, b.parameters)) for i, (a, b) in pairs]


def _apart(ours: Leaves, theirs: Leaves) -> tuple[float, float]:
    """Relative distance of all leaves together, and of the worst leaf."""
    together = [np.concatenate([leaf.ravel() for leaf in side.values()]) for side in _alike(ours, theirs)]
    a, b = (vector.astype(np.float64) for vector in together)
    worst = max(difference(path, ours[path], leaf).relative for path, leaf in theirs.items())
    return float(np.linalg.norm(a - b) / np.linalg.norm(b)), worst


def _alike(ours: Leaves, theirs: Leaves) -> tuple[Leaves, Leaves]:
    """The same leaves in one order."""
    return {path: ours[path] for path in theirs}, theirs


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
