"""The photos of Open Images v6 that MPEG tests coding for machines with: boxes, or boxes and masks.

    images/ID.jpg    masks/MASK.png
    detection_validation_input_5k.lst       …_5k_bbox.csv       …_labels_5k.csv
    segmentation_validation_input_5k.lst    …_bbox_5k.csv       …_labels_5k.csv      …_masks_5k.csv

The lists are those of CompressAI-Vision (data/mpeg-vcm); classes have COCO's names, `_` for spaces.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from icm_jax.data.builders.coco_instances import exact
from icm_jax.data.builders.sharded import Example, ShardedBuilder, Source, image_feature
from icm_jax.data.builders.source_files import find_root, read_ids, read_photo
from icm_jax.data.run_lengths import encode_mask
from icm_jax.errors import IcmError
from icm_jax.tasks.labels import read_png

Row = dict[str, Any]


class Tables(NamedTuple):
    """File names of one test; `masks` is "" where there are none."""

    photos: str
    boxes: str
    labels: str
    masks: str


TESTS = {
    "detection": Tables(
        "detection_validation_input_5k.lst",
        "detection_validation_5k_bbox.csv",
        "detection_validation_labels_5k.csv",
        "",
    ),
    "segmentation": Tables(
        "segmentation_validation_input_5k.lst",
        "segmentation_validation_bbox_5k.csv",
        "segmentation_validation_labels_5k.csv",
        "segmentation_validation_masks_5k.csv",
    ),
}
SIDES = ("XMin", "YMin", "XMax", "YMax")
COLUMNS = {
    "boxes": ("ImageID", "LabelName", *SIDES, "IsGroupOf"),
    "labels": ("ImageID", "LabelName", "Confidence"),
    "masks": ("MaskPath", "ImageID", "LabelName", *(f"Box{side}" for side in SIDES)),
}


class OpenimagesVcm(ShardedBuilder):
    """Photos with boxes, classes that people looked for, and masks."""

    TITLE = "Open Images v6 of MPEG's tests for machines: 5,000 photos with boxes, 5,000 with masks"
    HOMEPAGE = "https://storage.googleapis.com/openimages/web/index.html"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "images/, masks/ and the .lst and .csv files of CompressAI-Vision's data/mpeg-vcm"
    )
    PUBLISHED: ClassVar = {"validation": 5000}
    EXAMPLES_PER_SHARD = 256
    BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=name) for name in TESTS]

    @classmethod
    def find_configs(cls, root: Path) -> tuple[str, ...]:
        root = find_root(root, ("openimages_vcm",), "images")
        fitting = tuple(name for name, tables in TESTS.items() if (root / tables.photos).is_file())
        if not fitting:
            lists = " nor ".join(tables.photos for tables in TESTS.values())
            raise IcmError(
                f"{root}: holds no {lists}; copy the files of CompressAI-Vision's data/mpeg-vcm there"
            )
        return fitting

    def features(self) -> dict[str, Any]:
        text = tfds.features.Text
        boxes = {"label": text(), "bbox": exact(4), "is_group": np.bool_}  # shares: left, top, right, bottom
        features = {
            "id": text(),
            "image": image_feature(),
            "boxes": tfds.features.Sequence(boxes),
            "verified": tfds.features.Sequence({"label": text(), "is_there": np.bool_}),
        }
        if self._tables.masks:
            masks = {"label": text(), "bbox": exact(4), "segmentation": text()}
            features["masks"] = tfds.features.Sequence(masks)
        return features

    def sources(self, root: Path) -> dict[str, list[Source]]:
        root = find_root(root, ("openimages_vcm",), "images")
        names = {kind: name for kind, name in self._tables._asdict().items() if kind in COLUMNS and name}
        self._rows = {kind: _by_image(root / name, COLUMNS[kind]) for kind, name in names.items()}
        self._files = {kind: root / name for kind, name in names.items()}
        keys = [Path(name).stem for name in read_ids(root / self._tables.photos)]
        masks = self._rows.get("masks", {})
        return {
            "validation": [
                Source(
                    key,
                    (
                        root / "images" / f"{key}.jpg",
                        *(root / "masks" / row["MaskPath"] for row in masks.get(key, [])),
                    ),
                )
                for key in keys
            ]
        }

    def example(self, source: Source) -> Example:
        data, _ = read_photo(source.files[0])
        boxes, verified = (self._rows[kind].get(source.key, []) for kind in ("boxes", "labels"))
        example = {
            "id": source.key,
            "image": data,
            "boxes": [
                {**self._box(row, "boxes", ""), "is_group": self._flag(row, "boxes", "IsGroupOf")}
                for row in boxes
            ],
            "verified": [
                {"label": row["LabelName"], "is_there": self._flag(row, "labels", "Confidence")}
                for row in verified
            ],
        }
        if self._tables.masks:
            rows = self._rows["masks"].get(source.key, [])
            example["masks"] = [
                {**self._box(row, "masks", "Box"), "segmentation": json.dumps(encode_mask(_read_mask(file)))}
                for row, file in zip(rows, source.files[1:], strict=True)
            ]
        return example

    def _box(self, row: Row, kind: str, prefix: str) -> Row:
        try:
            sides = np.array([float(row[f"{prefix}{side}"]) for side in SIDES])
        except (TypeError, ValueError):
            sides = np.full(4, np.nan)
        if not ((sides >= 0) & (sides <= 1)).all() or (sides[:2] > sides[2:]).any():
            raise IcmError(
                f"{self._files[kind]}, line {row['line']}: the box of {row['ImageID']} has the sides "
                f"{[row[f'{prefix}{side}'] for side in SIDES]}, expected {', '.join(SIDES)} from 0 to 1; "
                "correct the row"
            )
        return {"label": row["LabelName"], "bbox": sides}

    def _flag(self, row: Row, kind: str, column: str) -> bool:
        if row[column] not in ("0", "1"):
            raise IcmError(
                f"{self._files[kind]}, line {row['line']}: {column} of {row['ImageID']} is {row[column]!r}, "
                "expected 0 or 1; correct the row"
            )
        return bool(int(row[column]))

    @property
    def _tables(self) -> Tables:
        return TESTS[self.builder_config_name]


def _by_image(file: Path, columns: tuple[str, ...]) -> dict[str, list[Row]]:
    images: dict[str, list[Row]] = {}
    for row in _rows(file, columns):
        images.setdefault(row["ImageID"], []).append(row)
    return images


def _rows(file: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            missing = [column for column in columns if column not in (table.fieldnames or ())]
            if missing:
                raise IcmError(f"{file}: has no column {missing[0]}; expected {', '.join(columns)}")
            for number, row in enumerate(table, 2):
                yield {**row, "line": number}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise IcmError(f"{file}: not a readable table ({error}); copy it again") from None


def _read_mask(file: Path) -> np.ndarray:
    """Masks have a size of their own, which is not always their photo's."""
    try:
        mask = read_png(file)
    except (OSError, SyntaxError, ValueError) as error:
        raise IcmError(f"{file}: not a readable mask ({error}); replace the file") from None
    except IcmError as error:
        raise IcmError(f"{file}: {error}") from None
    if mask.ndim != 2:
        raise IcmError(f"{file}: mask is in colour, expected black and white; replace the file")
    return mask != 0
