"""A result: one curve of one task on one data set, with all that is needed to repeat it. docs/results_schema.md"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.metrics.metric import Metric

KIND = "icm-result"
SCHEMA = 2
RECONSTRUCTION = "reconstruction"  # the task of results that no network was asked for


@dataclass(frozen=True)
class Point:
    """Sums and means over the images at one quality.

    `bpp` is the mean of the images' rates, as most papers report; `bpp_pixels` is all bits over all pixels. A score
    is None where it is infinite.
    """

    quality: float
    hash: str
    bytes: int
    bpp: float
    bpp_pixels: float
    estimated_bpp: float | None
    encode_seconds: float
    decode_seconds: float
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class Result:
    """One curve; attributes as in docs/results_schema.md."""

    curve: str
    codec: str
    task: str
    recognizer: Mapping[str, str] | None
    dataset: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    uncompressed: Mapping[str, float | None]
    points: tuple[Point, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""  # file that it was read from, for messages

    def metric(self, name: str) -> Metric:
        """The metric of this name; raises IcmError with those there are."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        known = ", ".join(metric.name for metric in self.metrics)
        raise IcmError(f"{self.source or self.curve}: has no metric {name!r}; choose one of {known}")

    def values(self, metric: str) -> tuple[list[float], list[float]]:
        """Rates (bpp) and scores of all points.

        Raises:
            IcmError: a score that is missing or not finite, with file and point.
        """
        self.metric(metric)
        rates, scores = [], []
        for point in self.points:
            score = point.scores.get(metric)
            if score is None or not np.isfinite(score):
                raise IcmError(
                    f"{self.source or self.curve}: {metric} at quality {point.quality:g} is {score}, expected a "
                    "finite number; measure that quality again or take it out"
                )
            rates.append(point.bpp)
            scores.append(float(score))
        return rates, scores


def write_result(path: Path, result: Result) -> None:
    """Writes a result as JSON."""
    values = asdict(result)
    del values["source"]
    values["metrics"] = [_plain_metric(metric) for metric in result.metrics]
    record = {"kind": KIND, "schema": SCHEMA, **values}
    write_bytes(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def read_result(path: Path) -> Result:
    """Reads a result.

    Raises:
        IcmError: not there, not JSON, not a result, of another schema, or incomplete.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise IcmError(f"{path}: can not be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise IcmError(f"{path}: not JSON ({error}); expected a result that icm eval wrote") from None
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise IcmError(f"{path}: is not a result; expected a file CURVE.json that icm eval wrote")
    if record.get("schema") != SCHEMA:
        raise IcmError(
            f"{path}: has schema {record.get('schema')}, this version reads {SCHEMA}; "
            "run icm eval again into the same folder, which keeps what is measured"
        )
    try:
        return Result(
            curve=record["curve"],
            codec=record["codec"],
            task=record["task"],
            recognizer=record["recognizer"],
            dataset=record["dataset"],
            metrics=tuple(_metric(values) for values in record["metrics"]),
            uncompressed=record["uncompressed"],
            points=tuple(Point(**values) for values in record["points"]),
            provenance=record["provenance"],
            source=str(path),
        )
    except (KeyError, TypeError) as error:
        raise IcmError(f"{path}: lacks or misnames {error}; run icm eval again") from None


def read_results(paths: Sequence[Path]) -> list[Result]:
    """Results of files, and of folders all that they hold, in order."""
    files = [file for path in paths for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not files:
        raise IcmError(f"{', '.join(map(str, paths))}: no result; give files CURVE.json that icm eval wrote")
    return [read_result(file) for file in files]


def _plain_metric(metric: Metric) -> dict[str, Any]:
    """Without limits that are infinite."""
    return {
        name: value
        for name, value in metric._asdict().items()
        if not isinstance(value, float) or np.isfinite(value)
    }


def _metric(values: Mapping[str, Any]) -> Metric:
    return Metric(**values)
