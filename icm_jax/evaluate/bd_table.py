"""BD deltas of results against an anchor's, as rows: for the terminal, Markdown, LaTeX and CSV."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from icm_jax.errors import IcmError
from icm_jax.evaluate.bd import BdResult, Method, bd_accuracy, bd_rate
from icm_jax.evaluate.curves import table
from icm_jax.evaluate.result import Result
from icm_jax.metrics.metric import Metric

MISSING = "n/a"
METHODS: tuple[Method, ...] = ("cubic", "pchip")
HEAD = ("curve", "metric", "method", "BD-rate (%)", "BD-accuracy", "overlap (%)", "note")


class BdRow(NamedTuple):
    """One pair of curves by one metric and method; `rate` and `accuracy` are None where `note` says why."""

    anchor: str
    curve: str
    metric: Metric
    method: Method
    rate: BdResult | None
    accuracy: BdResult | None
    note: str

    def cells(self) -> list[str]:
        """As text: a delta that does not exist is n/a, with that of the monotone fit beside it where there is one."""
        overlap = self.rate.overlap if self.rate else math.nan
        return [
            self.curve,
            self.metric.name,
            self.method,
            _rate_text(self.rate),
            _signed(self.accuracy.value if self.accuracy else math.nan, 3),
            MISSING if math.isnan(overlap) else f"{100 * overlap:.0f}",
            self.note,
        ]


def bd_rows(
    anchor: Result,
    results: Sequence[Result],
    metrics: Sequence[str] = (),
    methods: Sequence[Method] = METHODS,
    min_overlap: float = 0.0,
) -> list[BdRow]:
    """A row a result, metric and method.

    Args:
        metrics: by name; by default the first one of the anchor.

    Raises:
        IcmError: results of another task or of other images than the anchor's, a metric that one of them does not
            have, or an accuracy that is not a finite number.
    """
    rows = []
    for result in results:
        _refuse_other_images(anchor, result)
        for name in metrics or (anchor.metrics[0].name,):
            metric = anchor.metric(name)
            points = (*anchor.values(name), *result.values(name))
            rows += [_row(anchor, result, metric, points, method, min_overlap) for method in methods]
    return rows


def markdown(rows: Sequence[BdRow]) -> str:
    """A table whose first line names the anchor; without notes where there are none."""
    cells = [row.cells() for row in rows]
    head = list(HEAD)
    if not any(row[-1] for row in cells):
        head, cells = head[:-1], [row[:-1] for row in cells]
    return f"Against {rows[0].anchor}; negative rates and positive accuracies are better.\n\n{table(head, cells)}"


def _row(
    anchor: Result,
    result: Result,
    metric: Metric,
    points: tuple[list[float], list[float], list[float], list[float]],
    method: Method,
    min_overlap: float,
) -> BdRow:
    head = (anchor.curve, result.curve, metric, method)
    bounds = (metric.low, metric.high)
    try:
        rate = bd_rate(*points, method, metric.lower_is_better, min_overlap, bounds)
        accuracy = bd_accuracy(*points, method, metric.lower_is_better, min_overlap)
    except IcmError as error:
        if "pip install" in str(error):
            raise
        return BdRow(*head, None, None, str(error))
    notes = [
        note for note in (rate.reason, accuracy.reason if accuracy.reason != rate.reason else "") if note
    ]
    return BdRow(*head, rate, accuracy, "; ".join(notes))


def _refuse_other_images(anchor: Result, result: Result) -> None:
    for what, ours, theirs in (
        ("task", anchor.task, result.task),
        ("network", (anchor.recognizer or {}).get("name"), (result.recognizer or {}).get("name")),
        ("protocol", _protocol(anchor), _protocol(result)),
        ("images and labels", anchor.dataset["sha256"], result.dataset["sha256"]),
    ):
        if ours != theirs:
            names = (anchor.source or anchor.curve, result.source or result.curve)
            raise IcmError(
                f"{names[0]} and {names[1]} differ in {what} ({_short(ours)} and {_short(theirs)}); "
                "compare results of one evaluation"
            )


def _protocol(result: Result) -> object:
    """What codecs got; results from before there was a choice say nothing and mean the file as it is."""
    return result.dataset.get("protocol", "own")


def _rate_text(rate: BdResult | None) -> str:
    if rate is None:
        return MISSING
    if math.isnan(rate.value) and not math.isnan(rate.fit_value):
        return f"{MISSING} (fit {_signed(rate.fit_value, 2)})"
    return _signed(rate.value, 2)


def _signed(value: float, digits: int) -> str:
    return MISSING if math.isnan(value) else f"{value:+.{digits}f}"


def _short(value: object) -> str:
    return str(value)[:16]
