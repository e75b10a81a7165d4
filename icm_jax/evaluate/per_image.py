"""What single images did: from the records beside a result, for scatter plots and picture grids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from icm_jax.evaluate.plots import COLOURS, OWN_COLOURS, new_figure, save
from icm_jax.evaluate.records import RECORDS, Record, picture_name, read_records
from icm_jax.evaluate.result import Point, Result
from icm_jax.metrics.metric import Metric


class ImagePoint(NamedTuple):
    """One image at one point of a curve; `scores` are those of the image alone."""

    image: str
    bpp: float
    scores: dict[str, float | None]


class Shown(NamedTuple):
    """A decoded picture on disk and what is said below it."""

    path: Path
    caption: str


def image_points(result: Result, point: Point) -> list[ImagePoint]:
    """The images behind a point, in the data set's order; empty where the records are not beside the result."""
    if not result.source:
        return []
    records = {
        record["image"]: record
        for record in read_records(Path(result.source).parent / RECORDS)
        if _is_of(record, result, point)
    }
    return [
        ImagePoint(name, records[name]["bpp"], _scores(records[name]))
        for name in result.dataset["images"]
        if name in records
    ]


def middle(result: Result) -> Point:
    """The point of middle rate, which stands for a curve where one has to."""
    return result.points[len(result.points) // 2]


def graded_metric(results: Sequence[Result], points: Sequence[Sequence[ImagePoint]]) -> Metric:
    """The first metric that takes more than two values over single images: a hit or a miss makes no scatter plot."""
    for metric in results[0].metrics:
        values = {image.scores.get(metric.name) for images in points for image in images} - {None}
        if len(values) > 2:
            return metric
    return results[0].metrics[0]


def plot_scatter(results: Sequence[Result], out_png: Path) -> bool:
    """Each image at every curve's middle point: its bpp and its score. False, and no file, without records."""
    points = [image_points(result, middle(result)) for result in results]
    if not any(points):
        return False
    metric = graded_metric(results, points)
    figure = new_figure()
    axes = figure.subplots()
    own = iter(OWN_COLOURS * len(results))
    for result, images in zip(results, points, strict=True):
        shown = [
            (image.bpp, value) for image in images if (value := image.scores.get(metric.name)) is not None
        ]
        if shown:
            colour = COLOURS.get(result.codec) or next(own)
            label = f"{result.curve} {middle(result).quality:g}"
            axes.scatter(*np.array(shown).T, s=14, alpha=0.6, color=colour, label=label, linewidths=0)
    axes.set_xlabel("bits per pixel of the image")
    axes.set_ylabel(metric.title)
    axes.grid(color="#e6e6e6", lw=0.7)
    axes.legend(frameon=False)
    save(figure, out_png)
    return True


def picture_rows(results: Sequence[Result]) -> list[list[Shown]]:
    """For every image with decoded pictures: the original, then each curve at its middle point."""
    rows = []
    by_curve = [{image.image: image for image in image_points(result, middle(result))} for result in results]
    metric = results[0].metrics[0]
    for name in results[0].dataset["images"]:
        stem = Path(name).stem
        row: list[Shown] = []
        for result, images in zip(results, by_curve, strict=True):
            folder = Path(result.source).parent / "pictures"
            if not row and (folder / f"{stem}.png").is_file():
                row.append(Shown(folder / f"{stem}.png", f"{name}, original"))
            path = folder / picture_name(stem, result.curve, middle(result).quality)
            if name in images and path.is_file():
                value = images[name].scores.get(metric.name)
                score = "" if value is None else f", {metric.title} {value:.2f}"
                caption = f"{result.curve} {middle(result).quality:g}: {images[name].bpp:.3f} bpp{score}"
                row.append(Shown(path, caption))
        if len(row) > 1:
            rows.append(row)
    return rows


def _is_of(record: Record, result: Result, point: Point) -> bool:
    network = result.recognizer or {"name": "", "weights_sha256": ""}
    judge = f"{result.task} {network['name']} {network['weights_sha256'][:16]}" if result.recognizer else ""
    base = result.codec.partition("+")[0]  # points of one curve may have adapters of their own
    expected: tuple[Any, ...] = (base, point.quality, point.hash, judge)
    found = (record["codec"].partition("+")[0], record["quality"], record["hash"], record["judge"])
    return found == expected


def _scores(record: Record) -> dict[str, float | None]:
    pictures = {name: record[name] for name in ("psnr", "ms_ssim") if name in record}
    return pictures | record.get("scores", {})
