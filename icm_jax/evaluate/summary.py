"""From the rows of all images to one result a curve."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from icm_jax.evaluate.harness import Bench, Row, finite
from icm_jax.evaluate.image_quality import ms_ssim_db
from icm_jax.evaluate.judge import Judge
from icm_jax.evaluate.records import CountersByTruth, Record, counters_of
from icm_jax.evaluate.result import RECONSTRUCTION, Point, Result
from icm_jax.evaluate.subjects import Subject
from icm_jax.metrics.metric import Metric
from icm_jax.tasks.task import merged

PSNR = Metric("psnr", "PSNR (dB)", low=0)
PICTURE_METRICS = (PSNR, Metric("ms_ssim_db", "MS-SSIM (dB)", low=0), Metric("ms_ssim", "MS-SSIM", high=1))


def summarise(bench: Bench, rows: Sequence[Row], folder: str, provenance: Mapping[str, Any]) -> list[Result]:
    """One result a curve, points by rising rate.

    Counters are merged in the order of the rows, so that sums of floats come out the same however they were made.
    `ms_ssim_db` is the mean of the images' decibels.
    """
    judge = bench.judge
    originals = [row.uncompressed for row in rows if row.uncompressed]
    shared: dict[str, Any] = {
        "task": judge.task.name if judge else RECONSTRUCTION,
        "recognizer": dict(judge.network) if judge else None,
        "dataset": _dataset(rows, folder, bench.protocol.name),
        "uncompressed": finite(_judged(judge, originals)) if judge else {},
        "provenance": dict(provenance),
    }
    curves: dict[str, list[tuple[Subject, list[Record]]]] = {}
    for index, subject in enumerate(bench.subjects):
        curves.setdefault(subject.curve, []).append((subject, [row.records[index] for row in rows]))
    return [
        Result(
            curve=curve,
            codec=members[0][0].codec.name,
            metrics=_metrics(judge, members[0][1]),
            points=tuple(sorted((_point(judge, *member) for member in members), key=lambda point: point.bpp)),
            **shared,
        )
        for curve, members in curves.items()
    ]


def _metrics(judge: Judge | None, records: Sequence[Record]) -> tuple[Metric, ...]:
    """Of pictures PSNR beside the task's; predictions have none."""
    if judge is None:
        return PICTURE_METRICS
    return (*judge.metrics, *([PSNR] if "psnr" in records[0] else []))


def _point(judge: Judge | None, subject: Subject, records: Sequence[Record]) -> Point:
    pixels = sum(record["height"] * record["width"] for record in records)
    count = sum(record["bytes"] for record in records)
    scores = {"psnr": _mean(records, "psnr")} if "psnr" in records[0] else {}
    if judge:
        scores |= _judged(judge, records)
    else:
        scores["ms_ssim"] = _mean(records, "ms_ssim")
        scores["ms_ssim_db"] = float(np.mean([ms_ssim_db(record["ms_ssim"]) for record in records]))
    estimate = _mean(records, "estimated_bpp")
    return Point(
        quality=subject.quality,
        hash=subject.codec.hash,
        bytes=count,
        bpp=_mean(records, "bpp"),
        bpp_pixels=8 * count / pixels,
        estimated_bpp=estimate if np.isfinite(estimate) else None,
        encode_seconds=_mean(records, "encode_seconds"),
        decode_seconds=_mean(records, "decode_seconds"),
        scores=finite(scores),
    )


def _mean(records: Sequence[Record], name: str) -> float:
    """Infinite when one of the values is None, which stands for that in JSON."""
    values = [record[name] for record in records]
    return float("inf") if None in values else float(np.mean(values))


def _judged(judge: Judge, records: Sequence[Record]) -> dict[str, float]:
    empty = judge.empty()
    images = [counters_of(record, empty) for record in records]
    total: CountersByTruth = {
        truth: merged([counters[truth] for counters in images]) for truth in (images[0] if images else {})
    }
    return judge.scores(total)


def _dataset(rows: Sequence[Row], folder: str, protocol: str) -> dict[str, Any]:
    """Name, images, one digest over coded pixels and labels of all of them, and what codecs got of them."""
    digest = hashlib.sha256()
    names = []
    for row in rows:
        record = row.uncompressed or row.records[0]
        digest.update((record["image_sha256"] + record["label_sha256"]).encode())
        names.append(record["image"])
    identity = {"name": folder, "count": len(names), "sha256": digest.hexdigest()}
    return {**identity, "protocol": protocol, "images": names}
