"""A page of samples with their labels drawn: one HTML file, opened without a server. `icm data show`."""

import base64
import html
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from icm_jax.data.datasets import BuiltSet, Sample, SampleSource
from icm_jax.data.image_io import write_bytes
from icm_jax.data.label_pictures import class_colours, draw_things, label_picture
from icm_jax.data.label_rules import KINDS
from icm_jax.metrics.meter import IGNORE

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; background: #fff; color: #222 }
h2 { font-size: 1em; margin: 1.5em 0 .3em } .row { display: flex; flex-wrap: wrap; gap: 8px }
figure { margin: 0 } figcaption { font-size: 12px; color: #555 } img { display: block; max-width: 320px }
.key { display: inline-block; margin-right: .8em; font-size: 12px }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .3em; border: 1px solid #999 }
"""


def write_contact_sheet(built: BuiltSet, path: Path, split: str | None = None, count: int = 12) -> None:
    """Writes `count` samples spread over a split, by default the first split.

    Raises:
        IcmError: no such split, a damaged sample, or the page can not be written.
    """
    split = split or next(iter(built.splits))
    source = SampleSource(built, split)
    chosen = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)).tolist()
    rows = "\n".join(_row(source[i], built) for i in chosen)
    title = f"{html.escape(built.name)}, {html.escape(split)}: {len(chosen)} of {len(source):,}"
    note = "<p>Built as is: not compared with the published set.</p>" if built.record.as_is else ""
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1>{note}{rows}</html>\n"
    )
    write_bytes(path, page.encode())


def _row(sample: Sample, built: BuiltSet) -> str:
    height, width = sample["image"].shape[:2]
    facts = "".join(
        f", {html.escape(name)} {html.escape(_value(name, sample[name], built))}"
        for name in sample
        if name not in ("id", "image") and np.ndim(sample[name]) == 0 and not isinstance(sample[name], list)
    )
    figures = "".join(
        f'<figure><img src="{_data_uri(picture)}" alt="{html.escape(caption)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, picture in _pictures(sample, built)
    )
    heading = f"{html.escape(sample['id'])}, {width}×{height}{facts}"
    return f'<section><h2>{heading}</h2><div class="row">{figures}</div>{_legend(sample, built)}</section>'


def _pictures(sample: Sample, built: BuiltSet) -> Iterator[tuple[str, np.ndarray]]:
    image = sample["image"]
    yield "image", image
    for name in KINDS:
        if name in sample:
            yield name, label_picture(name, sample[name])
    categories = {entry["id"]: entry["name"] for entry in built.record.facts.get("categories", ())}
    if "objects" in sample:
        names = [categories[int(thing["category_id"])] for thing in sample["objects"]]
        yield "objects", draw_things(image, _with_corners(sample["objects"]), names)
    for name in ("boxes", "masks"):
        if name in sample:
            things = _in_pixels(sample[name], image.shape)
            yield name, draw_things(image, things, [thing["label"] for thing in sample[name]])


def _with_corners(things: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Boxes of COCO: left, top, width, height."""
    return [{**t, "box": [*t["bbox"][:2], *(t["bbox"][:2] + t["bbox"][2:])]} for t in things]


def _in_pixels(things: Sequence[dict[str, Any]], shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Boxes of Open Images: left, top, right, bottom as shares."""
    return [{**t, "box": [*(t["bbox"] * [shape[1], shape[0], shape[1], shape[0]])]} for t in things]


def _legend(sample: Sample, built: BuiltSet) -> str:
    """Names and colours of the classes that occur."""
    keys: list[str] = []
    colours = class_colours(256)
    for name, names in built.record.classes.items():
        if name in KINDS:
            numbers = [i for i in np.unique(sample[name]).tolist() if i != IGNORE]
            keys += [
                f'<span class="key"><i style="background:rgb{tuple(colours[i].tolist())}"></i>'
                f"{html.escape(names[i])}</span>"
                for i in numbers
            ]
    return f"<p>{''.join(keys)}</p>" if keys else ""


def _value(name: str, value: Any, built: BuiltSet) -> str:
    names = built.record.classes.get(name)
    return f"{value} ({names[int(value)]})" if names else str(value)


def _data_uri(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((480, 480))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
