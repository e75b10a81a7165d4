"""Results as a report: plots, tables of points and BD deltas, single images, one page that needs no server.

results/*.json ──► DIR/index.html             everything, with plots and pictures inside
                   DIR/index.md               the same without pictures, plots beside it
                   DIR/TASK-curves.png, .svg   TASK-images.png, .svg
                   DIR/TASK-points.md, .tex, .csv   TASK-bd.…   LAYOUT.…
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.evaluate import report_markdown, report_page
from icm_jax.evaluate.anchors import ANCHORS
from icm_jax.evaluate.bd_table import HEAD, MISSING, bd_rows
from icm_jax.evaluate.curves import all_metrics, format_score
from icm_jax.evaluate.layout import fill
from icm_jax.evaluate.paper_tables import get_layout
from icm_jax.evaluate.per_image import Shown, picture_rows, plot_scatter
from icm_jax.evaluate.plots import plot_curves
from icm_jax.evaluate.records import UNCOMPRESSED
from icm_jax.evaluate.result import Result
from icm_jax.evaluate.table_files import TextTable, joined


@dataclass(frozen=True)
class Section:
    """The results of one task on one set of images; `plots` and `pictures` are files."""

    title: str
    results: tuple[Result, ...]
    plots: tuple[Path, ...]
    tables: tuple[TextTable, ...]
    pictures: tuple[tuple[Shown, ...], ...]


def write_report(results: Sequence[Result], out: Path, anchor: str = "", layout: str = "") -> Path:
    """Writes a report to the folder `out` and gives the page's path.

    Args:
        anchor: curve that BD deltas are measured by; by default the first classical one, else the first.
        layout: a key of `icm_jax.evaluate.paper_tables.LAYOUTS`; its table comes first.

    Raises:
        IcmError: no such anchor or layout, two results of one curve, or matplotlib or bjontegaard is not installed.
    """
    chosen = get_layout(layout) if layout else None
    out.mkdir(parents=True, exist_ok=True)
    sections = [
        _section(group, out, name, _anchor(group, anchor, chosen.anchor if chosen else ""))
        for name, group in _groups(results).items()
    ]
    tables = [fill(chosen, results)] if chosen else []
    for table in tables:
        table.write(out, layout)
    page = out / "index.html"
    write_bytes(page, report_page.render(sections, tables).encode())
    write_bytes(out / "index.md", report_markdown.render(sections, tables).encode())
    return page


def _groups(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results that can be compared, by a name for their files."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        network = (result.recognizer or {}).get("name", "")
        key = (result.task, result.dataset["sha256"], network)
        groups.setdefault(key, []).append(result)
        curves = [other.curve for other in groups[key]]
        if curves.count(result.curve) > 1:
            raise IcmError(
                f"{result.source or result.curve}: a second curve {result.curve!r} of {result.task} on the same "
                "images; leave one out, or measure it under another name (--codecs NAME=CODEC)"
            )
    names: dict[str, list[Result]] = {}
    for (task, _, _), group in groups.items():
        name = task if task not in names else f"{task}-{sum(known.startswith(task) for known in names) + 1}"
        names[name] = group
    return names


def _section(results: list[Result], out: Path, name: str, anchor: Result) -> Section:
    plot_curves(results, out / f"{name}-curves.png")
    plots = [out / f"{name}-curves.svg"]
    if plot_scatter(results, out / f"{name}-images.png"):
        plots.append(out / f"{name}-images.svg")
    tables = {"points": points_table(results)}
    if len(results) > 1:
        tables["bd"] = bd_text_table(results, anchor)
    for kind, table in tables.items():
        table.write(out, f"{name}-{kind}")
    dataset, network = results[0].dataset, results[0].recognizer
    title = f"{results[0].task.capitalize()} on {dataset['name'] or 'images'} ({dataset['count']})"
    return Section(
        title=f"{title}, {network['name']}" if network else title,
        results=tuple(results),
        plots=tuple(plots),
        tables=tuple(tables.values()),
        pictures=tuple(tuple(row) for row in picture_rows(results)),
    )


def points_table(results: Sequence[Result]) -> TextTable:
    """All points of all curves, in rates of whole files, and what the network makes of the originals."""
    metrics = all_metrics(results)
    rows = [
        [
            result.curve,
            f"{point.quality:g}",
            f"{point.bpp:.4f}",
            "" if point.estimated_bpp is None else f"{point.estimated_bpp:.4f}",
            *(format_score(metric, point.scores) for metric in metrics),
        ]
        for result in results
        for point in result.points
    ]
    if results[0].uncompressed:
        known = (format_score(metric, results[0].uncompressed) for metric in metrics)
        rows.append([UNCOMPRESSED, "", "", "", *known])
    head = ["curve", "quality", "bpp", "estimated bpp", *(metric.title for metric in metrics)]
    return joined(head, rows, f"Points over {results[0].dataset['count']} images.")


def bd_text_table(results: Sequence[Result], anchor: Result) -> TextTable:
    """BD deltas by every metric, against the anchor; what can not be compared says why."""
    rows = []
    for metric in anchor.metrics:
        for result in results:
            if result is not anchor:
                try:
                    rows += [row.cells() for row in bd_rows(anchor, [result], (metric.name,))]
                except IcmError as error:
                    rows.append([result.curve, metric.name, "", MISSING, MISSING, MISSING, str(error)])
    return joined(HEAD, rows, f"BD deltas against {anchor.curve}.")


def _anchor(results: Sequence[Result], name: str, preferred: str) -> Result:
    """The result named; without a name the preferred one, else the first classical one, else the first.

    Raises:
        IcmError: no result has that name.
    """
    by_curve = {result.curve.casefold(): result for result in results}
    if name and name.casefold() not in by_curve:
        curves = ", ".join(result.curve for result in results)
        raise IcmError(f"no curve {name!r} of {results[0].task} to measure by; choose one of {curves}")
    classical = [result for result in results if result.codec in ANCHORS]
    return by_curve.get((name or preferred).casefold()) or (classical or list(results))[0]
