"""Human parts of PASCAL: background, head, torso, upper and lower arm, upper and lower leg.

An image without people has labels of 0 alone; they are read as 255, so that such an image counts nowhere.
"""

import dataclasses
from pathlib import Path

import numpy as np

from icm_jax.metrics.meter import IGNORE
from icm_jax.tasks.labels import LabelFolder
from icm_jax.tasks.semseg import open_class_maps, segmentation_task

CLASSES = 7


def _open_labels(folder: Path) -> LabelFolder:
    maps = open_class_maps(CLASSES, folder)

    def read(file: Path) -> np.ndarray:
        label = maps.read(file)
        return label if label.any() else np.full_like(label, IGNORE)

    return dataclasses.replace(maps, read=read)


TASK = dataclasses.replace(segmentation_task("human_parts", CLASSES), open_labels=_open_labels)
