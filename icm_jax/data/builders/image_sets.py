"""Sets of photos without labels: Kodak, Flickr2W, and any folder."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from icm_jax.data.builders.kodak_pixels import PIXELS_SHA256
from icm_jax.data.builders.sharded import Example, ShardedBuilder, Source, image_feature
from icm_jax.data.builders.source_files import read_photo
from icm_jax.data.image_io import list_images
from icm_jax.errors import IcmError


class PhotoBuilder(ShardedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Photos of one split, or of a folder for each."""

    SPLIT = "train"
    FOLDER = ""  # what the archive calls it
    EXAMPLES_PER_SHARD = 512

    def features(self) -> dict[str, Any]:
        return {"id": tfds.features.Text(), "image": image_feature()}

    def sources(self, root: Path) -> dict[str, list[Source]]:
        inner = root / self.FOLDER
        return {self.SPLIT: _as_sources(list_images(inner if inner.is_dir() else root))}

    def example(self, source: Source) -> Example:
        data, _ = read_photo(source.files[0])
        return {"id": source.key, "image": data}


class Kodak(PhotoBuilder):
    """The 24 photos that codecs have been compared on since 1999."""

    TITLE = "Kodak: 24 photos of 768×512 or 512×768, for rate and distortion"
    HOMEPAGE = "https://r0k.us/graphics/kodak/"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "kodim01.png … kodim24.png"
    SPLIT = "test"
    PUBLISHED: ClassVar = {"test": 24}

    def example(self, source: Source) -> Example:
        data, pixels = read_photo(source.files[0])
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        if not self.as_is and digest != PIXELS_SHA256.get(source.key):
            raise IcmError(
                f"{source.files[0]}: not the pixels of Kodak's {source.key}; take the published PNG file, "
                "or build what is there with --as-is"
            )
        return {"id": source.key, "image": data}


class Flickr2w(PhotoBuilder):
    """About 20,000 photos that base codecs are trained on."""

    TITLE = "Flickr2W: about 20,745 photos, for training base codecs"
    HOMEPAGE = "https://github.com/liujiaheng/CompressionData"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "flicker_2W_images/, as the archive has it, or its photos"
    FOLDER = "flicker_2W_images"


class ImageFolder(PhotoBuilder):
    """Your own photos. Folders inside become splits, photos alone are the split `train`."""

    TITLE = "your own photos: a folder, or a folder of folders, one for each split"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "photos; or train/, test/ … of photos"

    @classmethod
    def find_configs(cls, root: Path) -> tuple[str, ...]:
        return (re.sub(r"[^\w.-]", "_", root.resolve().name) or "photos",)

    def sources(self, root: Path) -> dict[str, list[Source]]:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        photos = [path for path in root.iterdir() if path.is_file()]
        if not folders or photos:
            return super().sources(root)
        return {folder.name: _as_sources(list_images(folder)) for folder in folders}


def _as_sources(photos: Sequence[Path]) -> list[Source]:
    return [Source(photo.stem, (photo,)) for photo in photos]
