"""COCO 2017 with masks of instances as run lengths and the original category ids, which have gaps (1 to 90).

    annotations/instances_{train,val}2017.json       train2017/NAME.jpg       val2017/NAME.jpg

T.-Y. Lin et al., "Microsoft COCO", ECCV 2014. Either split may be left out.
"""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from icm_jax.data.builders.sharded import Example, ShardedBuilder, Source, image_feature
from icm_jax.data.builders.source_files import find_root, read_photo
from icm_jax.data.run_lengths import encode_segmentation
from icm_jax.errors import IcmError

SPLITS = {"train": "train2017", "validation": "val2017"}
Entry = dict[str, Any]


def exact(*shape: int) -> tfds.features.Tensor:
    """Numbers that come from JSON or CSV, kept in full: TFDS would round them to float32."""
    return tfds.features.Tensor(shape=shape, dtype=np.float64, encoding="bytes")


class CocoInstances(ShardedBuilder):
    """Photos with boxes and masks of things."""

    TITLE = "COCO 2017: boxes and masks of 80 classes of things, original category ids, 123,287 photos"
    HOMEPAGE = "https://cocodataset.org"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "annotations/instances_val2017.json with val2017/, and the same of train2017"
    )
    PUBLISHED: ClassVar = {"train": 118287, "validation": 5000}
    EXAMPLES_PER_SHARD = 512

    def features(self) -> dict[str, Any]:
        return {
            "id": tfds.features.Text(),
            "image_id": np.int64,
            "image": image_feature(),
            "objects": tfds.features.Sequence(
                {
                    "id": np.int64,
                    "category_id": np.int64,
                    "bbox": exact(4),  # x, y, width, height in pixels
                    "area": exact(),
                    "is_crowd": np.bool_,
                    "segmentation": tfds.features.Text(),
                }
            ),
        }

    def facts(self) -> dict[str, Any]:
        return {"categories": list(self._categories.values())}

    def sources(self, root: Path) -> dict[str, list[Source]]:
        root = find_root(root, ("coco",), "annotations")
        self._categories: dict[int, Entry] = {}
        self._images: dict[str, Entry] = {}
        self._objects: dict[int, list[Entry]] = {}
        splits = {
            split: self._split(root / "annotations" / f"instances_{year}.json", root / year)
            for split, year in SPLITS.items()
            if (root / "annotations" / f"instances_{year}.json").is_file()
        }
        if not splits:
            raise IcmError(
                f"{root / 'annotations'}: holds no instances_train2017.json nor instances_val2017.json; "
                "extract annotations_trainval2017.zip there"
            )
        return splits

    def _split(self, file: Path, photos: Path) -> list[Source]:
        content = _read(file)
        self._categories |= {category["id"]: category for category in content["categories"]}
        for entry in content["annotations"]:
            self._objects.setdefault(entry["image_id"], []).append(entry)
        images = {Path(entry["file_name"]).stem: entry for entry in content["images"]}
        self._images |= images
        return [Source(key, (photos / entry["file_name"], file)) for key, entry in images.items()]

    def example(self, source: Source) -> Example:
        photo, file = source.files
        data, pixels = read_photo(photo)
        entry = self._images[source.key]
        size = (entry["height"], entry["width"])
        if size != pixels.shape[:2]:
            height, width = pixels.shape[:2]
            raise IcmError(
                f"{photo}: is {width}×{height}, {file.name} says {size[1]}×{size[0]}; use the photos that "
                "were annotated"
            )
        objects = [self._object(row, size, file) for row in self._objects.get(entry["id"], [])]
        return {"id": source.key, "image_id": entry["id"], "image": data, "objects": objects}

    def _object(self, row: Entry, size: tuple[int, int], file: Path) -> Entry:
        name = f"{file}: annotation {row.get('id')}"
        try:
            if row["category_id"] not in self._categories:
                known = sorted(self._categories)
                raise IcmError(
                    f"category {row['category_id']} is none of the {len(known)} from {known[0]} to {known[-1]}"
                )
            return {
                "id": row["id"],
                "category_id": row["category_id"],
                "bbox": np.array(row["bbox"], np.float64),
                "area": np.array(row["area"], np.float64),
                "is_crowd": bool(row["iscrowd"]),
                "segmentation": json.dumps(encode_segmentation(row["segmentation"], size)),
            }
        except KeyError as error:
            raise IcmError(f"{name} has no {error}; give COCO's own annotation file") from None
        except IcmError as error:
            raise IcmError(f"{name}: {error}; give COCO's own annotation file") from None


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IcmError(
            f"{file}: not a readable annotation file ({error}); extract the archive again"
        ) from None
    missing = [name for name in ("images", "annotations", "categories") if name not in content]
    if missing:
        raise IcmError(f"{file}: has no {missing[0]!r}; give COCO's instances, not captions or keypoints")
    return content
