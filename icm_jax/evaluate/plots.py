"""Rate–distortion and rate–accuracy plots with matplotlib, for papers and result folders."""

import importlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import AT_RATE
from icm_jax.evaluate.curves import Curve, all_metrics, curves_of
from icm_jax.evaluate.monotone_fit import fit_monotone, is_rising
from icm_jax.evaluate.result import Result
from icm_jax.metrics.metric import AGREEMENT, Metric

COLOURS = {
    "jpeg": "#8a8f98",
    "webp": "#2f6fdb",
    "avif": "#c77700",
    "jxl": "#2e8b57",
    "hevc": "#b08968",
    "vvc": "#8e44ad",
    "hm": "#7f5539",
    "vtm": "#4a2c82",
}
OWN_COLOURS = ("#d6336c", "#0b7285", "#5c3d2e")
COLUMNS = 2


def plot_curves(results: Sequence[Result], out_png: Path, metrics: Sequence[Metric] | None = None) -> None:
    """Draw metrics over bpp as `out_png` and, beside it, an SVG of the same name; by default all of the results.

    Curves are labelled where they end. The rate axis stops at the highest rate of the codecs under test: an
    anchor's near-lossless end would squeeze the part that matters. A dashed line says what the network makes of the
    originals. Raises IcmError without matplotlib.
    """
    shown = list(metrics or all_metrics(results))
    rows = math.ceil(len(shown) / COLUMNS)
    figure = new_figure(rows)
    for axes, metric in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, shown, strict=False):
        _draw_panel(axes, curves_of(results, metric.name), metric.title)
        limit = results[0].uncompressed.get(metric.name)
        if limit is not None and not metric.name.endswith(AGREEMENT):
            axes.axhline(limit, color="#777", lw=1, ls="--", zorder=1)
            axes.annotate("uncompressed", (0, limit), xytext=(4, 3), textcoords="offset points", fontsize=8)
    for axes in figure.axes[len(shown) :]:
        axes.set_visible(False)
    count = results[0].dataset["count"]
    figure.suptitle(f"{count} image{'s' * (count != 1)}, bytes of whole files", fontsize=10, color="#555")
    save(figure, out_png)


def plot_pair(anchor: Result, result: Result, metric: Metric, out_png: Path) -> None:
    """Two curves over log rate with what a BD delta sees of them: shared accuracies shaded, fits to folds dashed."""
    figure = new_figure()
    axes = figure.subplots()
    pair = curves_of([anchor, result], metric.name)
    for curve, colour in zip(pair, ("#8a8f98", OWN_COLOURS[0]), strict=True):
        axes.plot(curve.bpp, curve.value, "o-", color=colour, label=curve.label)
        fit = _fit(curve, metric)
        if fit is not None:
            axes.plot(curve.bpp, fit, "--", color=colour, label=f"{curve.label}, monotone fit")
    low = max(float(curve.value.min()) for curve in pair)
    high = min(float(curve.value.max()) for curve in pair)
    if low < high:
        axes.axhspan(low, high, color="#f1f3f5", zorder=0, label="shared by both")
    axes.set_xscale("log")
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel(metric.title)
    axes.grid(color="#e6e6e6", lw=0.7, which="both")
    axes.legend(frameon=False)
    save(figure, out_png)


def _fit(curve: Curve, metric: Metric) -> np.ndarray | None:
    """The monotone fit to a curve that folds back; None for one that does not, or has no fit."""
    sign = -1 if metric.lower_is_better else 1
    if is_rising(sign * curve.value):
        return None
    low, high = sorted((sign * metric.low, sign * metric.high))
    try:
        return sign * fit_monotone(np.log10(curve.bpp), sign * curve.value, (low, high))
    except IcmError:
        return None


def save(figure: Any, out_png: Path) -> None:
    """Writes a figure as PNG and, beside it, as SVG. The same figure gives the same SVG, byte by byte."""
    rc_context = importlib.import_module("matplotlib").rc_context
    for path, metadata in ((out_png.with_suffix(".png"), {}), (out_png.with_suffix(".svg"), {"Date": None})):
        partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        with rc_context({"svg.hashsalt": path.stem}):  # names of clips and markers, random without it
            figure.savefig(partial, dpi=160, metadata=metadata)
        partial.replace(path)


def visible_curves(curves: list[Curve]) -> list[Curve]:
    """The curves up to the highest own rate; whole when only anchors are there."""
    own_rates = [curve.bpp[-1] for curve in curves if not curve.is_anchor]
    if not own_rates:
        return curves
    cut = [curve.upto(max(own_rates)) for curve in curves]
    return [curve for curve in cut if len(curve.bpp)]


def series_colours(curves: list[Curve]) -> dict[str, str]:
    """A fixed colour for each anchor, strong ones in turn for the codecs under test."""
    own = [curve.name for curve in curves if not curve.is_anchor]
    anchors = {c.name: COLOURS[c.codec.removesuffix(AT_RATE)] for c in curves if c.is_anchor and c.codec}
    return COLOURS | anchors | {name: OWN_COLOURS[i % len(OWN_COLOURS)] for i, name in enumerate(own)}


def spread_labels(positions: list[float], gap: float) -> list[float]:
    """Move label positions apart to at least `gap`, keeping their order and, as a group, their centre."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    moved = list(positions)
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + gap)
    shift = (sum(positions) - sum(moved)) / max(len(positions), 1)
    return [position + shift for position in moved]


def _draw_panel(axes: Any, curves: list[Curve], title: str) -> None:
    curves = visible_curves(curves)
    colours = series_colours(curves)
    for curve in curves:
        width, size, order = (1.4, 3.5, 2) if curve.is_anchor else (2.4, 5.5, 3)
        axes.plot(curve.bpp, curve.value, "-", color=colours[curve.name], lw=width, zorder=order)
        axes.plot(*curve.measured, "o", color=colours[curve.name], ms=size, zorder=order)
    low, high = axes.get_ylim()
    ends = spread_labels([float(curve.value[-1]) for curve in curves], gap=(high - low) / 22)
    for curve, height in zip(curves, ends, strict=True):
        weight = "normal" if curve.is_anchor else "bold"
        axes.annotate(
            curve.label,
            (curve.bpp[-1], height),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            color=colours[curve.name],
            fontsize=9,
            fontweight=weight,
        )
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("bits per pixel")
    axes.set_xlim(left=0)
    axes.grid(color="#e6e6e6", lw=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def new_figure(rows: int = 1) -> Any:
    """A figure without pyplot: no global state, no window system."""
    try:
        figure_class = importlib.import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise IcmError(
            "plots need matplotlib, which is not installed; pip install 'icm-jax[eval]'"
        ) from error
    return figure_class(figsize=(11, 4.6 * rows), layout="constrained")
