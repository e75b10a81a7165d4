"""Rate-distortion curves as values: from a summary, between their points, as Markdown tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator

from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import ANCHORS

METRICS = {"psnr": "PSNR (dB)", "ms_ssim_db": "MS-SSIM (dB)"}


@dataclass(frozen=True)
class Curve:
    """Points of one codec, by rising rate: `bpp` and a quality value in dB, both [N].

    `cut` says that the last point was interpolated by `upto`, not measured.
    """

    name: str
    bpp: np.ndarray
    value: np.ndarray
    cut: bool = False

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
        return self.name in ANCHORS

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
            return Curve(self.name, rates, values)
        return Curve(self.name, np.append(rates, bpp), np.append(values, self.at(bpp)), cut=True)


def make_curve(name: str, bpp: Sequence[float], value: Sequence[float]) -> Curve:
    """A curve from points in any order. Infinite values are dropped; of equal rates the best is kept."""
    best: dict[float, float] = {}
    for rate, quality in zip(bpp, value, strict=True):
        if np.isfinite(quality):
            best[rate] = max(quality, best.get(rate, -np.inf))
    if not best:
        raise IcmError(f"{name} has no finite points to draw; measure it at a lossy quality")
    rates = sorted(best)
    return Curve(name, np.array(rates), np.array([best[rate] for rate in rates]))


def curves_of(summary: dict[str, Any], metric: str = "psnr") -> list[Curve]:
    """One curve a codec, in the order of the summary; `metric` is a key of METRICS."""
    points: dict[str, list[tuple[float, float]]] = {}
    for point in summary["points"]:
        points.setdefault(point["codec"], []).append((point["bpp"], _value(point, metric)))
    return [make_curve(name, *zip(*pairs, strict=True)) for name, pairs in points.items()]


def markdown_table(summary: dict[str, Any]) -> str:
    """Every codec at every quality: means over the images, `bpp` of whole files."""
    count = len(summary["images"])
    head = [
        "codec",
        "quality",
        "bpp",
        "estimated bpp",
        "PSNR dB",
        "MS-SSIM",
        "MS-SSIM dB",
        "enc ms",
        "dec ms",
    ]
    rows = [
        [
            point["codec"],
            str(point["quality"]),
            f"{point['bpp']:.4f}",
            "" if point["estimated_bpp"] is None else f"{point['estimated_bpp']:.4f}",
            _decibel(point["psnr"]),
            f"{point['ms_ssim']:.4f}",
            _decibel(point["ms_ssim_db"]),
            f"{1000 * point['encode_seconds']:.0f}",
            f"{1000 * point['decode_seconds']:.0f}",
        ]
        for point in summary["points"]
    ]
    return f"Means over {count} image{'s' * (count != 1)}.\n\n{table(head, rows)}"


def gain_table(
    summary: dict[str, Any], name: str, rates: Sequence[float], metric: str = "psnr", missing: str = "n/a"
) -> str:
    """dB of codec `name` minus each other codec at equal rates; `missing` where either was not measured."""
    curves = {curve.name: curve for curve in curves_of(summary, metric)}
    if name not in curves:
        raise IcmError(f"no points of codec {name!r}; measured: {', '.join(curves)}")
    rows = [
        [f"{name} minus {other.label}", *(_gain(curves[name], other, rate, missing) for rate in rates)]
        for other in curves.values()
        if other.name != name
    ]
    return table([f"{METRICS[metric]} at bpp", *(f"{rate:g}" for rate in rates)], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column left, others right, padded so that it also reads well in a terminal."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if not i else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def _value(point: dict[str, Any], metric: str) -> float:
    return float("inf") if point[metric] is None else float(point[metric])


def _decibel(value: float | None) -> str:
    return "∞" if value is None else f"{value:.2f}"


def _gain(ours: Curve, other: Curve, rate: float, missing: str) -> str:
    difference = ours.at(rate) - other.at(rate)
    return missing if np.isnan(difference) else f"{difference:+.2f}"
