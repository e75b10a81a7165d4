"""A rate-distortion plot as inline SVG text: needs no plotting library and follows the page's colours.

Classes, styled by the page: `grid`, `axis` (tick texts), `series` and `own` (groups). Colours of the series
are set here; everything else inherits.
"""

import math
from collections.abc import Sequence
from html import escape

from icm_jax.evaluate.curves import Curve
from icm_jax.evaluate.plots import series_colours, spread_labels

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 32, 58, 10, 42  # margins; the right one holds the curve labels
LABEL_GAP = 14  # pixels between two labels
TARGET_TICKS = 6
SMALLEST_SPAN = 0.1  # dB or bpp: a flat curve still gets an axis


def rd_svg(curves: Sequence[Curve], x_title: str, title: str) -> str:
    """One panel: curves with dots and labels at their ends, light grid, round ticks.

    `title` describes the picture to a screen reader.
    """
    shown = list(curves)
    x_ticks = ticks(0.0, max(float(curve.bpp[-1]) for curve in shown))
    y_ticks = ticks(min(float(c.value.min()) for c in shown), max(float(c.value.max()) for c in shown))
    frame = _Frame(x_ticks, y_ticks)
    colours = series_colours(shown)
    ends = spread_labels([frame.y(float(curve.value[-1])) for curve in shown], LABEL_GAP)
    parts = [
        f'<svg class="rd" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        *(_grid_line(frame, value, horizontal=False) for value in x_ticks),
        *(_grid_line(frame, value, horizontal=True) for value in y_ticks),
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x_title)}</text>",
        *(
            _series(frame, curve, colours[curve.name], end)
            for curve, end in sorted(zip(shown, ends, strict=True), key=lambda pair: not pair[0].is_anchor)
        ),
        "</svg>",
    ]
    return "\n".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """At most TARGET_TICKS round steps (1, 2 or 5 times a power of 10) that enclose [low, high]."""
    span = max(high - low, SMALLEST_SPAN)
    power = 10.0 ** math.floor(math.log10(span / TARGET_TICKS))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= TARGET_TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


class _Frame:
    """From data to picture coordinates."""

    def __init__(self, x_ticks: list[float], y_ticks: list[float]) -> None:
        self.x_range = (x_ticks[0], x_ticks[-1])
        self.y_range = (y_ticks[0], y_ticks[-1])

    def x(self, value: float) -> float:
        low, high = self.x_range
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)


def _grid_line(frame: _Frame, value: float, horizontal: bool) -> str:
    if horizontal:
        y = frame.y(value)
        line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        return line + f'<text class="axis" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>'
    x = frame.x(value)
    line = f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    return (
        line + f'<text class="axis" x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}</text>'
    )


def _series(frame: _Frame, curve: Curve, colour: str, label_y: float) -> str:
    path = " ".join(f"{frame.x(r)},{frame.y(v)}" for r, v in zip(curve.bpp, curve.value, strict=True))
    radius = 3 if curve.is_anchor else 4.5
    dots = "".join(
        f'<circle cx="{frame.x(rate)}" cy="{frame.y(value)}" r="{radius}" fill="{colour}">'
        f"<title>{escape(curve.label)}: {value:.2f} at {rate:.3f} bpp</title></circle>"
        for rate, value in zip(*curve.measured, strict=True)
    )
    label_x = frame.x(float(curve.bpp[-1])) + 10
    return (
        f'<g class="series{"" if curve.is_anchor else " own"}">'
        f'<polyline points="{path}" fill="none" stroke="{colour}"/>{dots}'
        f'<text x="{label_x}" y="{label_y + 4:.1f}" fill="{colour}">{escape(curve.label)}</text></g>'
    )
