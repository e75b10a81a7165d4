"""NYUD-v2 with labels of several tasks, from any of the archives that multi-task papers share.

    gt_sets/{train,val}.txt   ids             images/ID         segmentation/ID   depth/ID   normals/ID   edge/ID

Archives of the same name differ; which one is there is seen from the first id's files. N. Silberman et al., ECCV
2012; archives of K. Maninis et al. (ASTMT, CVPR 2019), S. Vandenhende et al. (MTI-Net, ECCV 2020), H. Ye and D. Xu
(InvPT, ECCV 2022).
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from icm_jax.data.builders import dense_labels
from icm_jax.data.builders.encoding import png
from icm_jax.data.builders.sharded import (
    Example,
    ShardedBuilder,
    Source,
    float_map_feature,
    image_feature,
    map_feature,
)
from icm_jax.data.builders.source_files import find_root, read_ids, read_photo
from icm_jax.errors import IcmError
from icm_jax.metrics.meter import IGNORE
from icm_jax.tasks.labels import LabelFolder, read_class_map

ROOTS = ("NYUD_MT", "NYUDv2")
CLASSES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture"),
    *(
        "counter",
        "blinds",
        "desk",
        "shelves",
        "curtain",
        "dresser",
        "pillow",
        "mirror",
        "floor mat",
        "clothes",
    ),
    *(
        "ceiling",
        "books",
        "refridgerator",
        "television",
        "paper",
        "towel",
        "shower curtain",
        "box",
        "whiteboard",
    ),
    *(
        "person",
        "night stand",
        "toilet",
        "sink",
        "lamp",
        "bathtub",
        "bag",
        "otherstructure",
        "otherfurniture",
    ),
    "otherprop",
)


class Archive(NamedTuple):
    """Extensions of an archive's files, and how many classes those who use it count."""

    image: tuple[str, ...]
    segmentation: tuple[str, ...]
    depth: tuple[str, ...]
    normals: tuple[str, ...]
    edge: tuple[str, ...]
    classes: int = 40


ARCHIVES = {
    "mti_net": Archive((".jpg",), (".png",), (".npy",), (".npy",), (".npy",)),
    "invpt": Archive((".png",), (".png",), (".npy",), (".png",), (".png",)),
    "astmt": Archive((".jpg",), (".mat",), (".mat",), (".png", ".jpg"), (".png",), classes=41),
}


class NyudMt(ShardedBuilder):
    """Semantic classes, depth, normals and boundaries of indoor photos."""

    TITLE = "NYUD-v2: 40 semantic classes, depth, normals, boundaries of 1,449 indoor photos"
    HOMEPAGE = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "NYUD_MT/ or NYUDv2/ with gt_sets, images, segmentation, depth, normals, edge"
    )
    PUBLISHED: ClassVar = {"train": 795, "validation": 654}
    EXAMPLES_PER_SHARD = 32
    BUILDER_CONFIGS: ClassVar = [tfds.core.BuilderConfig(name=name) for name in ARCHIVES]

    @classmethod
    def find_configs(cls, root: Path) -> tuple[str, ...]:
        root = find_root(root, ROOTS, "gt_sets/train.txt")
        example = read_ids(root / "gt_sets" / "train.txt")[0]
        fitting = tuple(
            name
            for name, archive in ARCHIVES.items()
            if all(_find(root, folder, example, extensions) for folder, extensions in _folders(archive))
        )
        if fitting:
            return fitting
        known = "; ".join(
            f"{name}: {', '.join(f'{f}/ID{e[0]}' for f, e in _folders(a))}" for name, a in ARCHIVES.items()
        )
        found = sorted(str(path.relative_to(root)) for path in root.glob(f"*/{example}.*"))
        raise IcmError(
            f"{root}: {example} has {', '.join(found) or 'no file'}, which fits no archive known ({known}); "
            "extract one of them again"
        )

    def features(self) -> dict[str, Any]:
        return {
            "id": tfds.features.Text(),
            "image": image_feature(),
            "semseg": map_feature(),
            "depth": float_map_feature(),
            "normals": float_map_feature(3),
            "edge": map_feature(),
        }

    def classes(self) -> dict[str, Any]:
        return {"semseg": CLASSES if self._archive.classes == len(CLASSES) else ("background", *CLASSES)}

    def facts(self) -> dict[str, Any]:
        return {"archive": self.builder_config_name}

    def sources(self, root: Path) -> dict[str, list[Source]]:
        root = find_root(root, ROOTS, "gt_sets/train.txt")
        lists = {"train": "train.txt", "validation": "val.txt"}
        return {
            split: [self._source(root, key) for key in read_ids(root / "gt_sets" / file)]
            for split, file in lists.items()
        }

    def _source(self, root: Path, key: str) -> Source:
        """Files of an example; where one is missing, the first name it could have had."""
        return Source(
            key,
            tuple(
                _find(root, folder, key, extensions) or root / folder / f"{key}{extensions[0]}"
                for folder, extensions in _folders(self._archive)
            ),
        )

    def example(self, source: Source) -> Example:
        data, pixels = read_photo(source.files[0])
        readers = (self._semseg, dense_labels.read_depth, dense_labels.read_normals, dense_labels.read_edges)
        semseg, depth, normals, edge = (
            LabelFolder(file.parent, (file.suffix,), read).of(source.files[0], pixels.shape[:2])
            for file, read in zip(source.files[1:], readers, strict=True)
        )
        return {
            "id": source.key,
            "image": data,
            "semseg": png(semseg),
            "depth": depth,
            "normals": normals,
            "edge": png(edge),
        }

    def _semseg(self, file: Path) -> np.ndarray:
        """Classes from 0. Of 41 the first is the background, of 40 it counts nowhere."""
        read = (
            partial(dense_labels.matlab_class_map, "segmentation")
            if file.suffix == ".mat"
            else read_class_map
        )
        label = read(len(CLASSES) + 1, file)
        if self._archive.classes == len(CLASSES) + 1:
            return label
        return np.where((label == 0) | (label == IGNORE), IGNORE, label - 1).astype(np.uint8)

    @property
    def _archive(self) -> Archive:
        return ARCHIVES[self.builder_config_name]


def _folders(archive: Archive) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("images", archive.image),
        ("segmentation", archive.segmentation),
        ("depth", archive.depth),
        ("normals", archive.normals),
        ("edge", archive.edge),
    ]


def _find(root: Path, folder: str, key: str, extensions: tuple[str, ...]) -> Path | None:
    files = (root / folder / f"{key}{extension}" for extension in extensions)
    return next((file for file in files if file.is_file()), None)
