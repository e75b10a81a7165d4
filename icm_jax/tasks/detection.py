"""Objects of COCO as boxes ("detection") or masks ("instances"), scored by pycocotools.

Labels are an annotation file in COCO's format; images are found by `file_name`. Masks are those of a Mask R-CNN.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from icm_jax.data.run_lengths import encode_mask
from icm_jax.errors import IcmError
from icm_jax.metrics import CocoDetections
from icm_jax.metrics.coco import IouType
from icm_jax.metrics.metric import Metric
from icm_jax.recognizers.detection.inference import Instances, detect, detect_from, resize_detectron2
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.tasks.task import Counters, Features, Labels, Picture, Published, Size, Task


@dataclass(frozen=True)
class CocoFile:
    """An annotation file: images, annotations, categories."""

    path: Path

    def check(self, images: Sequence[Path]) -> None:
        for image in images:
            self._entry(image)

    def of(self, image: Path, size: tuple[int, int]) -> dict[str, Any]:
        """The image's entry with its annotations."""
        entry = self._entry(image)
        if (entry["height"], entry["width"]) != size:
            raise IcmError(
                f"{self.path}: {image.name} is {entry['width']}×{entry['height']}, the file is "
                f"{size[1]}×{size[0]}; use the images that were annotated"
            )
        return {"image": entry, "annotations": self._annotations.get(entry["id"], [])}

    def only(self, image_ids: Sequence[int]) -> dict[str, Any]:
        """The annotations of these images, in the file's format."""
        wanted = set(image_ids)
        annotations = [entry for index in sorted(wanted) for entry in self._annotations.get(index, [])]
        images = [entry for entry in self._content["images"] if entry["id"] in wanted]
        return {"images": images, "annotations": annotations, "categories": self._content["categories"]}

    def _entry(self, image: Path) -> dict[str, Any]:
        if image.name not in self._images:
            raise IcmError(
                f"{self.path}: none of its {len(self._images)} images is {image.name}; "
                "add it, or take the image out"
            )
        return self._images[image.name]

    @cached_property
    def _content(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise IcmError(
                f"{self.path}: not a readable annotation file ({error}); give COCO's JSON"
            ) from None
        missing = [name for name in ("images", "annotations", "categories") if name not in content]
        if missing:
            raise IcmError(
                f"{self.path}: has no {missing[0]!r}; expected an annotation file in COCO's format"
            )
        return content

    @cached_property
    def _images(self) -> dict[str, dict[str, Any]]:
        return {entry["file_name"]: entry for entry in self._content["images"]}

    @cached_property
    def _annotations(self) -> dict[int, list[dict[str, Any]]]:
        by_image: dict[int, list[dict[str, Any]]] = {}
        for entry in self._content["annotations"]:
            by_image.setdefault(entry["image_id"], []).append(entry)
        return by_image


def detections(recognizer: Recognizer, pictures: Sequence[Picture]) -> list[Instances]:
    """What a detector finds in every picture."""
    return [detect(recognizer, picture) for picture in pictures]


def published_detections(recognizer: Recognizer, pictures: Sequence[Picture], photo: Size) -> list[Instances]:
    """The same in pictures that were resized before they were coded, in pixels of the photo."""
    return [detect(recognizer, picture, photo) for picture in pictures]


def continued_detections(recognizer: Recognizer, features: Features, picture: Size, photo: Size) -> Instances:
    """What a detector finds when it goes on from decoded features."""
    return detect_from(recognizer, features.tap, features.map, picture, photo)


def in_coco_format(found: Instances, with_masks: bool) -> list[dict[str, Any]]:
    """Detections as COCO's results have them: x, y, width, height, or masks as run lengths."""
    if with_masks and found.masks is None:
        raise IcmError("the network finds boxes, the task asks for masks; use a Mask R-CNN")
    entries: list[dict[str, Any]] = []
    for i, (box, score, category) in enumerate(
        zip(found.boxes.tolist(), found.scores.tolist(), found.categories.tolist(), strict=True)
    ):
        shape = (
            {"segmentation": encode_mask(found.masks[i])}
            if with_masks and found.masks is not None
            else {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
        )
        entries.append({"category_id": category, "score": score, **shape})
    return entries


def _empty() -> Counters:
    return {"detections": CocoDetections.empty()}


def _count(with_masks: bool, answer: Instances, label: dict[str, Any]) -> Counters:
    image = label["image"]["id"]
    return {"detections": CocoDetections.empty().update(image, in_coco_format(answer, with_masks))}


def _scores(iou_type: IouType, counters: Counters, labels: Labels | None) -> dict[str, float]:
    found: CocoDetections = counters["detections"]
    if not isinstance(labels, CocoFile):
        raise IcmError("average precision needs the annotation file; name it with --labels")
    score = found.compute(labels.only(found.image_ids), iou_type)
    values = {"ap": score.ap, "ap50": score.ap50, "ap75": score.ap75}
    return {name: 100 * value if value >= 0 else float("nan") for name, value in values.items()}


TASK = Task(
    name="detection",
    recognizers=("faster-rcnn", "mask-rcnn", "faster-rcnn-torchvision", "mask-rcnn-torchvision"),
    metrics=(
        Metric("ap", "AP (%)", low=0, high=100),
        Metric("ap50", "AP50 (%)", low=0, high=100),
        Metric("ap75", "AP75 (%)", low=0, high=100),
    ),
    answers=detections,
    open_labels=CocoFile,
    empty=_empty,
    count=partial(_count, False),
    scores=partial(_scores, "bbox"),
    continued=continued_detections,
    published=Published(resize_detectron2, published_detections),
)
TASK_INSTANCES = dataclasses.replace(
    TASK,
    name="instances",
    recognizers=("mask-rcnn", "mask-rcnn-torchvision"),
    count=partial(_count, True),
    scores=partial(_scores, "segm"),
)
