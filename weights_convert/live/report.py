"""A comparison as text for the terminal, as JSON, and as a page with the error by depth. Needs no torch and no JAX."""

import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from icm_jax.data.image_io import write_bytes
from weights_convert.live.comparison import AdamStep, Comparison, Departure
from weights_convert.live.difference import Difference

WORST_GRADIENTS = 5
WIDTH, HEIGHT, LEFT, BOTTOM = 860, 300, 54, 84
OURS, THEIRS = "float32 from exact", "PyTorch's float32 from exact"
COLOURS = {"float32": "#b3541e", "float64": "#1e6bb3", OURS: "#3a8f4d", THEIRS: "#999999"}
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;font:12px/1.4 ui-monospace,monospace}td,th{padding:.1rem .6rem;text-align:right}
td:first-child,th:first-child{text-align:left}tr:nth-child(even){background:#f4f4f2}
svg{max-width:100%;font:11px sans-serif}
summary{cursor:pointer;margin:.6rem 0}"""


def format_text(title: str, comparisons: Sequence[Comparison]) -> str:
    """Every stage, the worst gradients, first and last step of Adam."""
    lines = [title]
    for found in comparisons:
        lines.append(
            f"\n {found.precision}   stages within {found.limit:.0e}: {'pass' if found.passed else 'FAIL'}"
        )
        lines.append(_header("stage"))
        lines += [_line(row) for row in found.stages]
        worst = sorted(found.gradients, key=lambda row: -row.relative)[:WORST_GRADIENTS]
        lines.append(_header(f"gradient (worst {len(worst)} of {len(found.gradients)})"))
        lines += [_line(row) for row in worst]
        for schedule, steps in found.adam.items():
            last = steps[-1]
            lines.append(
                f"  Adam, {schedule}: loss {steps[0].theirs:.9g}; before step {last.step + 1} {last.ours:.9g} here, "
                f"{last.theirs:.9g} there; parameters {last.parameters:.1e} apart, the worst leaf {last.leaf:.1e}"
            )
    lines += [
        f"\n our default {row.relative:.1e} from the published: {row.what}"
        for row in _departures(comparisons)
    ]
    return "\n".join(lines)


def to_json(
    name: str, title: str, comparisons: Sequence[Comparison], facts: dict[str, Any]
) -> dict[str, Any]:
    """Everything, as plain values."""
    return {
        "name": name,
        "title": title,
        **facts,
        "comparisons": [
            {
                "precision": found.precision,
                "passed": found.passed,
                "limit": found.limit,
                "stages": [row._asdict() for row in found.stages],
                "gradients": [row._asdict() for row in found.gradients],
                "adam": {name: [step._asdict() for step in steps] for name, steps in found.adam.items()},
                "reference_error": found.reference_error,
                "own_error": found.own_error,
            }
            for found in comparisons
        ],
        "departures": [row._asdict() for row in _departures(comparisons)],
    }


def write_report(
    folder: Path, name: str, title: str, comparisons: Sequence[Comparison], facts: dict[str, Any]
) -> None:
    """Writes `NAME.json` and `NAME.html`."""
    folder.mkdir(parents=True, exist_ok=True)
    record = to_json(name, title, comparisons, facts)
    write_bytes(folder / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())
    write_bytes(folder / f"{name}.html", format_page(title, comparisons, facts).encode())


def format_page(title: str, comparisons: Sequence[Comparison], facts: dict[str, Any]) -> str:
    """The page."""
    series = {found.precision: [row.relative for row in found.stages] for found in comparisons}
    names = [row.name for row in comparisons[0].stages]
    for found in comparisons:
        for label, errors in ((OURS, found.own_error), (THEIRS, found.reference_error)):
            if errors:
                series[label] = [errors[name] for name in names]
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>",
        f"<p>{escape('; '.join(f'{key} {value}' for key, value in facts.items()))}</p>",
        "<p>Largest difference over largest entry, stage by stage; green and grey are how far either float32 is from "
        "PyTorch's float64.</p>",
        depth_svg(names, series),
    ]
    for found in comparisons:
        parts.append(
            f"<h2>{found.precision}: {'within' if found.passed else 'beyond'} {found.limit:.0e}</h2>"
        )
        parts.append(_html_table("stage", found.stages))
        parts.append(f"<details><summary>{len(found.gradients)} gradients</summary>")
        parts.append(_html_table("parameter", sorted(found.gradients, key=lambda row: -row.relative)))
        parts.append("</details>")
        parts += [_html_steps(schedule, steps) for schedule, steps in found.adam.items()]
    if rows := _departures(comparisons):
        parts.append(
            "<h2>Our defaults that are not the published</h2><table><tr><th>default<th>relative</tr>"
        )
        parts += [f"<tr><td>{escape(row.what)}<td>{row.relative:.1e}</tr>" for row in rows]
        parts.append("</table>")
    return "\n".join([*parts, "</html>", ""])


def depth_svg(names: Sequence[str], series: dict[str, list[float]]) -> str:
    """Error by depth on a logarithmic scale; an exact stage lies on the lower edge."""
    positive = [value for values in series.values() for value in values if value > 0]
    low = math.floor(math.log10(min(positive, default=1e-16)))
    high = math.ceil(math.log10(max(positive, default=1e-7)) + 1e-9)
    step = (WIDTH - LEFT - 20) / max(len(names) - 1, 1)

    def y(value: float) -> float:
        level = math.log10(value) if value > 0 else low
        return 10 + (high - level) / max(high - low, 1) * (HEIGHT - BOTTOM - 10)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="error by depth">']
    for power in range(low, high + 1, max(1, (high - low) // 8)):
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y(10.0**power)}" y2="{y(10.0**power)}" stroke="#ddd"/>'
        )
        parts.append(f'<text x="{LEFT - 6}" y="{y(10.0**power) + 4}" text-anchor="end">1e{power}</text>')
    for i, name in enumerate(names):
        x = LEFT + i * step
        parts.append(
            f'<text transform="translate({x:.1f} {HEIGHT - BOTTOM + 14}) rotate(55)">{escape(name)}</text>'
        )
    for i, (label, values) in enumerate(series.items()):
        points = " ".join(f"{LEFT + k * step:.1f},{y(value):.1f}" for k, value in enumerate(values))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[label]}" stroke-width="1.8"/>'
        )
        parts.append(
            f'<text x="{LEFT + 8 + 170 * i}" y="{HEIGHT - 4}" fill="{COLOURS[label]}">{escape(label)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _departures(comparisons: Sequence[Comparison]) -> list[Departure]:
    """The same in every precision."""
    return comparisons[0].departures


def _html_steps(schedule: str, steps: Sequence[AdamStep]) -> str:
    head = "<tr><th>step<th>loss here<th>loss there<th>parameters apart<th>worst leaf</tr>"
    body = (
        f"<tr><td>{s.step + 1}<td>{s.ours:.9g}<td>{s.theirs:.9g}<td>{s.parameters:.1e}<td>{s.leaf:.1e}</tr>"
        for s in steps
    )
    title = f"{len(steps)} steps of Adam, {schedule}"
    return f"<details><summary>{title}</summary><table>{head}{''.join(body)}</table></details>"


def _header(first: str) -> str:
    return f"  {first:<44} {'max abs':>9} {'relative':>9} {'ulp 50 %':>9} {'99 %':>9} {'max':>9}  {'1-cosine':>9}  at"


def _cells(row: Difference) -> list[str]:
    ulps = [f"{value:.3g}" for value in row.ulps]
    place = ",".join(map(str, row.worst)) or "-"
    return [f"{row.max_abs:.1e}", f"{row.relative:.1e}", *ulps, f"{1 - row.cosine:.0e}", place]


def _line(row: Difference) -> str:
    max_abs, relative, *ulps, cosine, place = _cells(row)
    columns = " ".join(f"{cell:>9}" for cell in (max_abs, relative, *ulps))
    return f"  {row.name:<44} {columns}  {cosine:>9}  {place}"


def _html_table(first: str, rows: Sequence[Difference]) -> str:
    head = (
        first,
        "shape",
        "max abs",
        "relative",
        "ulp 50 %",
        "99 %",
        "max",
        "1-cosine",
        "worst at",
        "here",
        "there",
    )
    body = (
        "<tr>"
        + "".join(
            f"<td>{escape(str(cell))}"
            for cell in (
                row.name,
                "×".join(map(str, row.shape)) or "scalar",
                *_cells(row),
                f"{row.ours:.8g}",
                f"{row.theirs:.8g}",
            )
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{name}' for name in head)}</tr>{''.join(body)}</table>"
