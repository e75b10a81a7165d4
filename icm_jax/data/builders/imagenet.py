"""ImageNet-1k from folders of photos, one for each class: `train/n01440764/*.JPEG`, `val/n01440764/*.JPEG`.

Class numbers are positions in the sorted names of all class folders, as every published network counts them.
O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015. Either split may be left out.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from icm_jax.data.builders.sharded import Example, ShardedBuilder, Source, image_feature
from icm_jax.data.builders.source_files import read_photo
from icm_jax.data.image_io import list_images
from icm_jax.errors import IcmError

SPLITS = {"train": "train", "validation": "val"}
CLASSES = 1000


class Imagenet(ShardedBuilder):
    """Photos with one class each."""

    TITLE = "ImageNet-1k from folders of classes: 1,281,167 photos and 50,000 to validate"
    HOMEPAGE = "https://www.image-net.org"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "val/n01440764/*.JPEG …, and train/ likewise"
    PUBLISHED: ClassVar = {"train": 1281167, "validation": 50000}
    EXAMPLES_PER_SHARD = 1024

    def features(self) -> dict[str, Any]:
        return {"id": tfds.features.Text(), "image": image_feature(), "label": np.int64}

    def classes(self) -> dict[str, Any]:
        return {"label": self._names}

    def sources(self, root: Path) -> dict[str, list[Source]]:
        folders = {
            split: sorted(path for path in (root / name).iterdir() if path.is_dir())
            for split, name in SPLITS.items()
            if (root / name).is_dir()
        }
        self._names = sorted({folder.name for of_split in folders.values() for folder in of_split})
        for split, of_split in folders.items():
            if len(of_split) < len(self._names) or (len(self._names) != CLASSES and not self.as_is):
                raise IcmError(
                    f"{root / SPLITS[split]}: has {len(of_split)} folders of classes, "
                    f"expected {len(self._names) if self.as_is else CLASSES} (class numbers are their positions); "
                    "sort the photos into folders of their classes, or number what is there with --as-is"
                )
        if not self._names:
            raise IcmError(
                f"{root}: holds neither train/ nor val/ with a folder for each class; see docs/data.md"
            )
        return {
            split: [
                Source(f"{folder.name}/{photo.stem}", (photo,))
                for folder in of_split
                for photo in list_images(folder)
            ]
            for split, of_split in folders.items()
        }

    def example(self, source: Source) -> Example:
        data, _ = read_photo(source.files[0])
        return {"id": source.key, "image": data, "label": self._names.index(source.key.split("/")[0])}
