"""A built data set as folders of files, as `icm eval` reads them: photos, and labels of every task beside them.

    shards ─► sample ─► one size for all, if asked for ─► OUT/images/ID.png, OUT/semseg/ID.png, OUT/depth/ID.npy, …

Decoded photos are stored as PNG, so that codecs meet the very pixels that networks were trained on.
"""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from icm_jax.data.augmentation import Size, finished, prepared, resized
from icm_jax.data.datasets import BuiltSet, Sample, SampleSource
from icm_jax.data.image_io import write_bytes, write_image
from icm_jax.data.label_rules import KINDS, Kind
from icm_jax.data.scenes import SceneSource
from icm_jax.errors import IcmError

IMAGES = "images"
TABLE = "labels.csv"


def export_split(built: BuiltSet, split: str, out: Path, size: Size | None = None, limit: int = 0) -> int:
    """Writes a split to the folder `out` and gives the number of its pictures.

    Args:
        size: (height, width) of all pictures and labels, resampled as the ASTMT recipes do; None for their own.
        limit: only the first so many; 0 for all.

    Raises:
        IcmError: no such split, or labels that are no maps and no classes.
    """
    names = _labels_of(built)
    source = SampleSource(built, split, ("image", *names))
    count = min(limit, len(source)) if limit else len(source)
    rows = []
    for i in range(count):
        sample = source[i]
        stem = sample["id"].replace("/", "_")
        _write_maps(sample, stem, out, size)
        if "label" in sample:
            rows.append((f"{stem}.png", int(sample["label"])))
    if rows:
        write_bytes(out / TABLE, _table(rows))
    return count


def export_scenes(count: int, size: int, seed: int, out: Path) -> None:
    """Writes the first `count` scenes of a seed (`icm_jax.data.scenes`), pictures and labels of all their tasks.

    Raises:
        IcmError: no scene, or a size too small for one.
    """
    if count < 1:
        raise IcmError(f"count={count}; export at least one scene")
    source = SceneSource(count, size, seed)
    for i in range(count):
        scene = source[i]
        _write_maps({**scene, "edge": scene["boundary"]}, f"{i:06}", out, None)


def _labels_of(built: BuiltSet) -> list[str]:
    names = [name for name in built.info.features if name in KINDS or name == "label"]
    others = set(built.info.features) - {"id", "image", "has_people", *names}
    if others:
        raise IcmError(
            f"{built.name} holds {', '.join(sorted(others))}, which are no maps; icm eval reads the published files"
        )
    return names


def _write_maps(sample: Sample, stem: str, out: Path, size: Size | None) -> None:
    maps = prepared(sample)
    if size is not None:
        maps = resized(maps, size)
    photo = out / IMAGES / f"{stem}.png"
    photo.parent.mkdir(parents=True, exist_ok=True)
    write_image(photo, finished({"image": maps.pop("image")})["image"])
    for name, values in maps.items():
        form = FORMS[KINDS[name]]
        file = out / name / f"{stem}{form.extension}"
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, form.encode(values))


def _png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values.astype(np.float32))
    return buffer.getvalue()


class Form(NamedTuple):
    """How a kind of map is stored."""

    extension: str
    encode: Callable[[np.ndarray], bytes]


FORMS: dict[Kind, Form] = {
    "classes": Form(".png", _png),
    "saliency": Form(".png", lambda values: _png(255 * values)),  # 0 and 1 once they are prepared
    "boundary": Form(".png", lambda values: _png(255 * values)),
    "depth": Form(".npy", _npy),
    "normals": Form(".npy", _npy),
}


def _table(rows: Sequence[tuple[str, int]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([("file", "class_index"), *rows])
    return buffer.getvalue().encode()
