"""Rate–distortion and rate–accuracy curves as values: from results, between their points, as Markdown tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator

from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import ANCHORS, AT_RATE
from icm_jax.evaluate.result import Point, Result
from icm_jax.metrics.metric import Metric

METRICS = {"psnr": "PSNR (dB)", "ms_ssim_db": "MS-SSIM (dB)"}


@dataclass(frozen=True)
class Curve:
    """Points of one codec, by rising rate: `bpp` and a metric's value, both [N].

    `cut` says that the last point was interpolated by `upto`, not measured. `codec` is its name where the curve
    has another.
    """

    name: str
    bpp: np.ndarray
    value: np.ndarray
    cut: bool = False
    codec: str = ""

    @property
    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Rates and values of the measured points only."""
        count = len(self.bpp) - self.cut
        return self.bpp[:count], self.value[:count]

    @property
    def label(self) -> str:
        return ANCHORS[self.name].label if self.name in ANCHORS else self.name

    @property
    def is_anchor(self) -> bool:
        return (self.codec or self.name).removesuffix(AT_RATE) in ANCHORS

    def at(self, bpp: float) -> float:
        """The value at a rate: monotone cubic (PCHIP) over log rate between the points, NaN outside them."""
        if not self.bpp[0] <= bpp <= self.bpp[-1]:
            return float("nan")
        if len(self.bpp) == 1:
            return float(self.value[0])
        return float(PchipInterpolator(np.log(self.bpp), self.value)(np.log(bpp)))

    def upto(self, bpp: float) -> "Curve":
        """The part of the curve at or below a rate, cut there exactly when it goes on."""
        inside = self.bpp <= bpp
        rates, values = self.bpp[inside], self.value[inside]
        if not len(rates) or rates[-1] == min(bpp, self.bpp[-1]):
            return replace(self, bpp=rates, value=values)
        return replace(self, bpp=np.append(rates, bpp), value=np.append(values, self.at(bpp)), cut=True)


def make_curve(name: str, bpp: Sequence[float], value: Sequence[float]) -> Curve:
    """A curve from points in any order. Infinite values are dropped; of equal rates the highest value is kept."""
    best: dict[float, float] = {}
    for rate, quality in zip(bpp, value, strict=True):
        if np.isfinite(quality):
            best[rate] = max(quality, best.get(rate, -np.inf))
    if not best:
        raise IcmError(f"{name} has no finite points to draw; measure it at a lossy quality")
    rates = sorted(best)
    return Curve(name, np.array(rates), np.array([best[rate] for rate in rates]))


def curves_of(results: Sequence[Result], metric: str = "psnr") -> list[Curve]:
    """One curve a result that has the metric, in their order; points without a finite value are left out."""
    curves = []
    for result in results:
        if metric not in [known.name for known in result.metrics]:
            continue
        values = [_value(point, metric) for point in result.points]
        curve = make_curve(result.curve, [point.bpp for point in result.points], values)
        curves.append(replace(curve, codec=result.codec))
    return curves


def markdown_table(results: Sequence[Result]) -> str:
    """Every codec at every quality, `bpp` of whole files, and what the network makes of the originals."""
    metrics, count = all_metrics(results), results[0].dataset["count"]
    titles = [metric.title for metric in metrics]
    head = ["codec", "quality", "bpp", "estimated bpp", *titles, "enc ms", "dec ms"]
    rows = [
        [
            result.curve,
            f"{point.quality:g}",
            f"{point.bpp:.4f}",
            "" if point.estimated_bpp is None else f"{point.estimated_bpp:.4f}",
            *(format_score(metric, point.scores) for metric in metrics),
            f"{1000 * point.encode_seconds:.0f}",
            f"{1000 * point.decode_seconds:.0f}",
        ]
        for result in results
        for point in result.points
    ]
    if results[0].uncompressed:
        known = [format_score(metric, results[0].uncompressed) for metric in metrics]
        rows.append(["uncompressed", "", "", "", *known, "", ""])
    return f"Over {count} image{'s' * (count != 1)}.\n\n{table(head, rows)}"


def gain_table(
    results: Sequence[Result],
    name: str,
    rates: Sequence[float],
    metric: str = "psnr",
    missing: str = "n/a",
) -> str:
    """The value of curve `name` minus that of each other at equal rates; `missing` where either was not measured."""
    curves = {curve.name: curve for curve in curves_of(results, metric)}
    if name not in curves:
        raise IcmError(f"no points of codec {name!r}; measured: {', '.join(curves)}")
    rows = [
        [f"{name} minus {other.label}", *(_gain(curves[name], other, rate, missing) for rate in rates)]
        for other in curves.values()
        if other.name != name
    ]
    return table([f"{results[0].metric(metric).title} at bpp", *(f"{rate:g}" for rate in rates)], rows)


def all_metrics(results: Sequence[Result]) -> list[Metric]:
    """What any of the results reports, in their order."""
    return list(dict.fromkeys(metric for result in results for metric in result.metrics))


def format_score(metric: Metric, scores: Mapping[str, float | None]) -> str:
    """A score with as many digits as its range deserves; nothing where there is none."""
    if metric.name not in scores:
        return ""
    value = scores[metric.name]
    if value is None:
        return "∞"
    return (
        f"{value:.4f}" if metric.high == 1 else f"{value:.3f}" if metric.lower_is_better else f"{value:.2f}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column left, others right, padded so that it also reads well in a terminal."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if not i else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def _value(point: Point, metric: str) -> float:
    value = point.scores.get(metric)
    return float("inf") if value is None else float(value)


def _gain(ours: Curve, other: Curve, rate: float, missing: str) -> str:
    difference = ours.at(rate) - other.at(rate)
    return missing if np.isnan(difference) else f"{difference:+.2f}"
