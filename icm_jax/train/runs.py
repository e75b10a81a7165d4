"""Reading runs back: where each stands, side by side, as a table or a plot."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icm_jax.errors import IcmError
from icm_jax.evaluate.result import read_results

SPEEDS = {
    "steps_per_second": "steps/s",
    "images_per_second_per_device": "images/s/device",
    "mfu": "MFU",
    "peak_gib": "peak GiB",
}


@dataclass(frozen=True)
class RunSummary:
    """One workdir.

    Attributes:
        name: last parts of its path.
        step, total_steps: how far it is.
        state: "finished" or "not finished".
        train, validation, speed: last numbers of each kind.
        curves: {name: (steps, values)} of everything logged.
        results: points (bpp, PSNR) of the evaluation through files, by quality.
    """

    name: str
    step: int
    total_steps: int
    state: str
    train: dict[str, float]
    validation: dict[str, float]
    speed: dict[str, float]
    curves: dict[str, tuple[list[int], list[float]]]
    results: list[dict[str, Any]]


def read_run(workdir: str | Path) -> RunSummary:
    """Summary of a run's folder.

    Raises:
        IcmError: the folder holds no run.
    """
    workdir = Path(workdir)
    if not (workdir / "config.json").exists():
        raise IcmError(f"{workdir} holds no run (no config.json); give the --workdir of a training")
    config = json.loads((workdir / "config.json").read_text())
    last: dict[str, dict[str, float]] = {"train": {}, "validation": {}, "speed": {}}
    curves: dict[str, tuple[list[int], list[float]]] = {}
    step = 0
    for record in _records(workdir / "metrics.jsonl"):
        step = max(step, record["step"])
        for kind in last:
            for name, value in record.get(kind, {}).items():
                if value is not None:
                    last[kind][name] = value
                    steps, values = curves.setdefault(f"{kind}/{name}", ([], []))
                    steps.append(record["step"])
                    values.append(value)
    results = workdir / "results"
    return RunSummary(
        name="/".join(workdir.parts[-2:]),
        step=step,
        total_steps=config["optim"]["total_steps"],
        state="finished" if (workdir / "finished").exists() else "not finished",
        train=last["train"],
        validation=last["validation"],
        speed=last["speed"],
        curves=curves,
        results=[
            {"bpp": point.bpp, "psnr": point.scores["psnr"]}
            for result in (read_results([results]) if results.is_dir() else [])
            for point in result.points
        ],
    )


def _records(path: Path) -> list[dict[str, Any]]:
    """Lines of a metrics file; a last line that a crash cut off is left out. A resumed run wrote some steps twice."""
    if not path.exists():
        return []
    records: dict[tuple[int, str], dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        records[record["step"], "train" if "train" in record else "validation"] = record
    return [records[key] for key in sorted(records)]


def table(runs: Sequence[RunSummary]) -> str:
    """Markdown table, a row a run."""
    header = ["run", "state", "step", "loss", "validation", *SPEEDS.values(), "bpp / PSNR"]
    rows = []
    for run in runs:
        validation = " ".join(f"{name} {value:.4g}" for name, value in run.validation.items())
        points = " ".join(f"{point['bpp']:.3f}/{point['psnr']:.2f}" for point in run.results)
        rows.append(
            [
                run.name,
                run.state,
                f"{run.step}/{run.total_steps}",
                _number(run.train, "loss"),
                validation,
                *(_number(run.speed, name) for name in SPEEDS),
                points,
            ]
        )
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def _number(values: dict[str, float], name: str) -> str:
    return f"{values[name]:.4g}" if name in values else ""


def plot(runs: Sequence[RunSummary], names: Sequence[str], out: Path) -> None:
    """Curves of all runs, a panel a name such as "train/loss", written to `out` (.png or .svg).

    Raises:
        IcmError: no run has such a curve, or matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise IcmError("plots need matplotlib; pip install 'icm-jax[eval]'") from None
    known = sorted({name for run in runs for name in run.curves})
    for name in names:
        if name not in known:
            raise IcmError(
                f"no run has logged {name!r}; logged are {', '.join(known) or 'no numbers at all'}"
            )
    figure = Figure(figsize=(6.0, 3.2 * len(names)), layout="constrained")
    for axes, name in zip(figure.subplots(len(names), squeeze=False)[:, 0], names, strict=True):
        for run in runs:
            if name in run.curves:
                axes.plot(*run.curves[name], label=run.name)
        axes.set(xlabel="step", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(out)
