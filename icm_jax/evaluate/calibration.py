"""What a stream is expected to cost each of its tasks: measured once, kept with the adapter, looked up by rate.

    icm calibrate    photos, coded ─► sorted by rate, cut into groups ─► (bpp, loss of accuracy) a group and task
    icm inspect      a stream's bpp ─► between the groups, over log rate ─► the loss to expect of every task

One stream has one rate for all tasks, so rates can not be given to tasks; what each gets for the rate can be told.
The curve stands in the `metrics` of the adapter's file, which its hash does not cover: calibrated or not, it reads the
same streams.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.store import StoredAdapter
from icm_jax.codec import Codec
from icm_jax.errors import IcmError
from icm_jax.evaluate.harness import Bench, Options, Row, measure_images
from icm_jax.evaluate.judge import Judge, load_judge
from icm_jax.evaluate.records import Record, counters_of
from icm_jax.evaluate.subjects import PICTURES, AdaptedCodec, Subject
from icm_jax.tasks.registry import TASKS
from icm_jax.tasks.task import merged

CALIBRATION = "expected_loss"  # key among an adapter's metrics
FEWEST = 4  # images of a group


class Expected(NamedTuple):
    """What a task loses against uncompressed photos, in the unit of its metric.

    Attributes:
        metric: its title, with the unit.
        outside: the rate lies beyond those that were measured, and the loss is that at the nearest one.
    """

    metric: str
    loss: float
    outside: bool


def judged_tasks(adapter: StoredAdapter) -> dict[str, str]:
    """Tasks of an adapter that can be calibrated, and by which task of `tasks.registry` each is judged."""
    names = {picture: task for task, picture in reversed(PICTURES.items())} | {task: task for task in TASKS}
    found = {picture: names.get(picture, picture) for picture in adapter.codec_spec.pictures[1:]}
    return {picture: task for picture, task in found.items() if task in TASKS and TASKS[task].recognizers}


def calibrate(
    codec: Codec,
    file: Path,
    images: Sequence[Path],
    out: Path,
    groups: int = 8,
    weights: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> StoredAdapter:
    """Measures an adapter's tasks on photos and writes the curves into its file.

    Args:
        codec: the base.
        file: of the adapter.
        out: folder of the records; the same call goes on where an earlier one stopped.
        groups: points of a curve.
        weights: of each task's network, by task; by default what $ICM_WEIGHTS holds.
        labels: of each task, by task; without any, loss is disagreement with the network's view of the photo.

    Raises:
        IcmError: too few images, an adapter without tasks that included networks judge, or missing weights.
    """
    if groups < 1 or len(images) < FEWEST * groups:
        raise IcmError(
            f"{len(images)} images for {groups} groups; give {FEWEST} a group or more, or take fewer groups"
        )
    adapted = codec.with_adapter(file)
    assert adapted.adapter is not None
    tasks = judged_tasks(adapted.adapter)
    weights, labels = weights or {}, labels or {}
    if unknown := sorted({*weights, *labels} - set(tasks)):
        raise IcmError(
            f"task {unknown[0]!r} can not be judged; of this adapter can {', '.join(tasks) or 'none'}"
        )
    if not tasks:
        raise IcmError(f"adapter {adapted.adapter.name} has no task that an included network judges")
    curves = {}
    for picture, task in tasks.items():
        judge = load_judge(task, "", weights.get(picture, ""), labels.get(picture, ""))
        subject = Subject(adapted.adapter.name, codec.quality, AdaptedCodec(adapted, picture=picture))
        bench, rows = measure_images(partial(Bench, (subject,), judge), images, out / picture, Options())
        assert bench.judge is not None
        curves[picture] = loss_curve(bench.judge, rows, groups)
    made = replace(adapted.adapter, metrics={**adapted.adapter.metrics, CALIBRATION: curves})
    adapter_store.save(made, file)
    return made


def loss_curve(judge: Judge, rows: Sequence[Row], groups: int) -> dict[str, Any]:
    """Rates and losses of groups of images of similar rate, as plain values."""
    metric = judge.metrics[0]
    by_rate = sorted(rows, key=lambda row: float(row.records[0]["bpp"]))
    rates, losses = [], []
    for group in np.array_split(np.arange(len(by_rate)), groups):
        members = [by_rate[i] for i in group]
        coded = [row.records[0] for row in members]
        originals = [row.uncompressed for row in members if row.uncompressed is not None]
        lost = _score(judge, originals, metric.name) - _score(judge, coded, metric.name)
        rates.append(float(np.mean([record["bpp"] for record in coded])))
        losses.append(-lost if metric.lower_is_better else lost)
    return {"metric": metric.title, "images": len(rows), "bpp": rates, "loss": losses}


def _score(judge: Judge, records: Sequence[Record], metric: str) -> float:
    empty = judge.empty()
    counted = [counters_of(record, empty) for record in records]
    total = {truth: merged([counters[truth] for counters in counted]) for truth in counted[0]}
    return judge.scores(total)[metric]


def expected_losses(adapter: StoredAdapter, bpp: float) -> dict[str, Expected]:
    """What every calibrated task is expected to lose in a stream of this rate.

    Raises:
        IcmError: the adapter was not calibrated.
    """
    curves = adapter.metrics.get(CALIBRATION)
    if not curves:
        raise IcmError(
            f"adapter {adapter.name} was not calibrated; run: icm calibrate PHOTOS --codec BASE --adapter FILE -o DIR"
        )
    return {task: _expected(curve, bpp) for task, curve in curves.items()}


def _expected(curve: Mapping[str, Any], bpp: float) -> Expected:
    loss = np.interp(np.log(bpp), np.log(curve["bpp"]), curve["loss"])
    return Expected(curve["metric"], float(loss), not curve["bpp"][0] <= bpp <= curve["bpp"][-1])
