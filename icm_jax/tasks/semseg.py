"""Semantic segmentation: is every pixel still seen as its class?

Labels are 8-bit maps of class numbers, of the size of their images; 255 counts nowhere.
"""

from functools import partial
from pathlib import Path

import numpy as np

from icm_jax.metrics import Segmentation
from icm_jax.metrics.metric import Metric
from icm_jax.tasks.dense_answers import dense_answers
from icm_jax.tasks.labels import LabelFolder, read_class_map
from icm_jax.tasks.task import Counters, Labels, Task

VOC_CLASSES, NYUD_CLASSES, SCENE_CLASSES = 21, 40, 6


def segmentation_task(name: str, classes: int, recognizers: tuple[str, ...] = ()) -> Task:
    """A task of class maps with `classes` classes."""
    return Task(
        name=name,
        recognizers=recognizers,
        metrics=(
            Metric("miou", "mIoU (%)", low=0, high=100),
            Metric("miou_present_only", "mIoU of classes that occur (%)", low=0, high=100),
            Metric("pixel_accuracy", "pixels right (%)", low=0, high=100),
        ),
        answers=dense_answers(class_map),
        open_labels=partial(open_class_maps, classes),
        empty=partial(_empty, classes),
        count=partial(_count, classes),
        scores=_scores,
        as_label=lambda answer: answer,
        # Few classes occur in few answers, and `miou` counts the others as 0; pixels are what moves least by chance.
        agreement=("miou_present_only", "pixel_accuracy"),
        read_output=class_map,
    )


def class_map(logits: np.ndarray) -> np.ndarray:
    """The class of every pixel; of equal logits the lower index."""
    return logits.argmax(-1).astype(np.uint8)


def open_class_maps(classes: int, folder: Path) -> LabelFolder:
    """PNG files of class numbers."""
    return LabelFolder(folder, (".png",), partial(read_class_map, classes))


def _empty(classes: int) -> Counters:
    return {"classes": Segmentation.empty(classes)}


def _count(classes: int, answer: np.ndarray, label: np.ndarray) -> Counters:
    return {"classes": Segmentation.empty(classes).update(answer[None], label[None])}


def _scores(counters: Counters, labels: Labels | None) -> dict[str, float]:
    score = counters["classes"].compute()
    return {
        "miou": score.miou,
        "miou_present_only": score.miou_present_only,
        "pixel_accuracy": score.pixel_accuracy,
    }


TASK = segmentation_task("semseg", VOC_CLASSES, ("espnet-v2",))
TASK_NYUD = segmentation_task("semseg-nyud", NYUD_CLASSES)
TASK_SCENES = segmentation_task("semseg-scenes", SCENE_CLASSES)
