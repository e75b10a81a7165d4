"""PASCAL-Context with labels of several tasks, from the archive of ASTMT, MTI-Net and MTLoRA, or that of InvPT.

Semantic classes are the 21 of VOC. Normals and saliency were made by networks; normals count where the class of
PASCAL-Context is one that those networks know from indoors. Boundaries lie where that class changes.
K. Maninis et al., "Attentive Single-Tasking of Multiple Tasks", CVPR 2019.
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from icm_jax.data.builders.dense_labels import normals_of_pixels
from icm_jax.data.builders.encoding import png
from icm_jax.data.builders.sharded import (
    Example,
    ShardedBuilder,
    Source,
    float_map_feature,
    image_feature,
    map_feature,
)
from icm_jax.data.builders.source_files import find_root, read_ids, read_matlab, read_photo
from icm_jax.errors import IcmError
from icm_jax.metrics.thinning import thin
from icm_jax.tasks.labels import LabelFolder, read_class_map, read_png

ROOTS = ("PASCAL_MT", "PASCALContext")
CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
)
HUMAN_PARTS = ("background", "head", "torso", "uarm", "larm", "uleg", "lleg")
PERSON = 15  # class of an object in the annotation of parts
PARTS = {
    "head": ("hair", "head", "lear", "rear", "lebrow", "rebrow", "leye", "reye", "mouth", "nose"),
    "torso": ("neck", "torso"),
    "uarm": ("luarm", "ruarm"),
    "larm": ("llarm", "rlarm", "lhand", "rhand"),
    "uleg": ("luleg", "ruleg"),
    "lleg": ("llleg", "rlleg", "lfoot", "rfoot"),
}
PART_CLASS = {part: HUMAN_PARTS.index(name) for name, parts in PARTS.items() for part in parts}
CONTEXT_CLASSES = 459
# Names that NYUD-v2 and PASCAL-Context share, and tvmonitor: elsewhere the normals are not to be trusted.
# fmt: off
WITH_NORMALS = (
    3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 29, 30, 33, 34, 36, 37, 38, 39, 41, 43, 46, 49, 50, 51, 53,
    55, 56, 59, 61, 62, 65, 66, 68, 69, 72, 73, 78, 83, 84, 85, 87, 88, 95, 96, 101, 104, 105, 107, 111,
    113, 115, 122, 124, 135, 141, 142, 143, 146, 150, 154, 157, 158, 159, 165, 172, 174, 181, 183, 184, 191,
    193, 195, 197, 199, 202, 213, 215, 216, 219, 220, 223, 225, 228, 230, 232, 233, 238, 239, 242, 243, 246,
    250, 251, 252, 255, 260, 261, 263, 269, 272, 273, 275, 281, 283, 284, 285, 286, 287, 288, 290, 291, 292,
    293, 295, 304, 307, 309, 310, 314, 315, 319, 323, 329, 330, 331, 336, 342, 345, 349, 350, 351, 352, 355,
    357, 368, 370, 371, 374, 379, 380, 383, 384, 397, 401, 403, 405, 407, 408, 411, 412, 413, 414, 417, 419,
    421, 423, 427, 429, 430, 432, 440, 441, 442, 443, 444, 446, 454, 457,
)
# fmt: on


class PascalMt(ShardedBuilder):
    """Semantic classes, human parts, saliency, normals and boundaries of photos."""

    TITLE = "PASCAL-Context: 21 semantic classes, human parts, saliency, normals, boundaries of 10,103 photos"
    HOMEPAGE = "https://cs.stanford.edu/~roozbeh/pascal-context/"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "PASCAL_MT/ or PASCALContext/ with ImageSets/Context, JPEGImages, semseg, pascal-context, human_parts, "
        "normals_distill, sal_distill"
    )
    PUBLISHED: ClassVar = {"train": 4998, "validation": 5105}
    EXAMPLES_PER_SHARD = 64

    def features(self) -> dict[str, Any]:
        return {
            "id": tfds.features.Text(),
            "image": image_feature(),
            "semseg": map_feature(),
            "human_parts": map_feature(),
            "has_people": np.bool_,
            "sal": map_feature(),
            "normals": float_map_feature(3),
            "edge": map_feature(),
        }

    def classes(self) -> dict[str, Any]:
        return {"semseg": CLASSES, "human_parts": HUMAN_PARTS}

    def sources(self, root: Path) -> dict[str, list[Source]]:
        root = find_root(root, ROOTS, "ImageSets/Context/train.txt")
        lists = {"train": "train.txt", "validation": "val.txt"}
        return {
            split: [_source(root, key) for key in read_ids(root / "ImageSets" / "Context" / file)]
            for split, file in lists.items()
        }

    def example(self, source: Source) -> Example:
        photo = source.files[0]
        data, pixels = read_photo(photo)
        size = pixels.shape[:2]
        readers = (partial(read_class_map, len(CLASSES)), _context_map, _parts(size), read_png, _saliency)
        semseg, context, parts, normals, saliency = (
            LabelFolder(file.parent, (file.suffix,), read).of(photo, size)
            for file, read in zip(source.files[1:], readers, strict=True)
        )
        known = np.isin(context, WITH_NORMALS)[..., None]
        return {
            "id": source.key,
            "image": data,
            "semseg": png(semseg),
            "human_parts": png(parts),
            "has_people": bool(parts.any()),
            "sal": png(saliency),
            "normals": np.where(known, normals_of_pixels(normals), np.float32(0)),
            "edge": png(boundaries(context)),
        }


def _source(root: Path, key: str) -> Source:
    """Semantic labels are VOC's own where there are, else those made from PASCAL-Context."""
    semseg = (root / "semseg" / folder / f"{key}.png" for folder in ("VOC12", "pascal-context"))
    return Source(
        key,
        (
            root / "JPEGImages" / f"{key}.jpg",
            next((file for file in semseg if file.is_file()), root / "semseg" / "VOC12" / f"{key}.png"),
            root / "pascal-context" / "trainval" / f"{key}.mat",
            root / "human_parts" / f"{key}.mat",
            root / "normals_distill" / f"{key}.png",
            root / "sal_distill" / f"{key}.png",
        ),
    )


def boundaries(context: np.ndarray) -> np.ndarray:
    """Thin lines where a map of classes changes: 0 and 1, uint8 [h, w]."""
    from scipy.ndimage import laplace

    changes = laplace(context.astype(np.int32), mode="mirror") != 0
    return thin(changes).astype(np.uint8)


def _context_map(file: Path) -> np.ndarray:
    label = np.asarray(read_matlab("LabelMap", file))
    if label.ndim != 2 or label.max() > CONTEXT_CLASSES:
        raise IcmError(
            f"LabelMap of shape {list(label.shape)} goes up to {label.max()}, expected classes [h, w] up to "
            f"{CONTEXT_CLASSES}"
        )
    return label


def _saliency(file: Path) -> np.ndarray:
    label = read_png(file)
    if label.ndim != 2:
        raise IcmError("saliency is in colour, expected grey values, salient above 127; convert it")
    return label


def _parts(size: tuple[int, ...]) -> Any:
    def read(file: Path) -> np.ndarray:
        """Parts of all people, later ones over earlier ones; nothing but background in an image without."""
        annotation = read_matlab("anno", file)
        label = np.zeros(size, np.uint8)
        for person in annotation["objects"][0, 0].ravel():
            if int(person["class_ind"].item()) != PERSON:
                continue
            for part in person["parts"].ravel():
                name, mask = part["part_name"].item(), part["mask"].astype(bool)
                if name not in PART_CLASS:
                    raise IcmError(
                        f"a person has the part {name!r}, known are {', '.join(sorted(PART_CLASS))}"
                    )
                if mask.shape != label.shape:
                    return mask.astype(np.uint8)  # of another size than the image, which is reported as such
                label[mask] = PART_CLASS[name]
        return label

    return read
