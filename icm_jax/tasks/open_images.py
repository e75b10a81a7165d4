"""Objects of Open Images as MPEG's tests for machine vision use them: a detector of COCO, AP at IoU 0.5.

Labels are a folder with three tables:

    boxes.csv     ImageID, LabelName, XMin, XMax, YMin, YMax (shares of the image), IsGroupOf
    labels.csv    ImageID, LabelName, Confidence     classes that people looked for; 1 found, 0 not there
    classes.csv   LabelName, CategoryID              the detector's category of each class that is evaluated
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.metrics import OpenImages
from icm_jax.metrics.metric import Metric
from icm_jax.metrics.open_images import OpenImagesTruth
from icm_jax.recognizers.detection.inference import Instances
from icm_jax.tasks.detection import detections
from icm_jax.tasks.task import Counters, Labels, Task

COLUMNS = {
    "boxes.csv": ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf"),
    "labels.csv": ("ImageID", "LabelName", "Confidence"),
    "classes.csv": ("LabelName", "CategoryID"),
}
Row = Mapping[str, str]


@dataclass(frozen=True)
class OpenImagesFolder:
    """The three tables; images are found by their name without extension."""

    folder: Path

    def check(self, images: Sequence[Path]) -> None:
        for image in images:
            if image.stem not in self._labels:
                raise IcmError(
                    f"{self.folder / 'labels.csv'}: no row for image {image.stem}; add it, or take the image out"
                )

    def of(self, image: Path, size: tuple[int, int]) -> dict[str, list[list[float]]]:
        """Boxes in pixels, with class and whether each is a group, and the classes looked for."""
        try:
            boxes = [self._box(row, size) for row in self._boxes.get(image.stem, [])]
        except ValueError as error:
            raise IcmError(
                f"{self.folder / 'boxes.csv'}: a box of {image.stem} has sides that are no numbers ({error}); "
                "correct the row"
            ) from None
        looked_for = [float(self._classes[row["LabelName"]]) for row in self._labels[image.stem]]
        return {"boxes": boxes, "verified": [looked_for]}

    def _box(self, row: Row, size: tuple[int, int]) -> list[float]:
        height, width = size
        shares = [float(row[name]) for name in ("XMin", "YMin", "XMax", "YMax")]
        corners = [share * side for share, side in zip(shares, (width, height) * 2, strict=True)]
        return [*corners, float(self._classes[row["LabelName"]]), float(row["IsGroupOf"] == "1")]

    @cached_property
    def _classes(self) -> dict[str, int]:
        return {row["LabelName"]: int(row["CategoryID"]) for row in self._rows("classes.csv")}

    @cached_property
    def _boxes(self) -> dict[str, list[Row]]:
        return self._by_image("boxes.csv")

    @cached_property
    def _labels(self) -> dict[str, list[Row]]:
        return self._by_image("labels.csv")

    def _by_image(self, name: str) -> dict[str, list[Row]]:
        """Rows of the classes that are evaluated."""
        images: dict[str, list[Row]] = {}
        for row in self._rows(name):
            rows = images.setdefault(row["ImageID"], [])
            if row["LabelName"] in self._classes:
                rows.append(row)
        return images

    def _rows(self, name: str) -> list[Row]:
        path = self.folder / name
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows: list[Row] = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError) as error:
            raise IcmError(
                f"{path}: not a readable table ({error}); see icm_jax/tasks/open_images.py"
            ) from None
        missing = [column for column in COLUMNS[name] if rows and column not in rows[0]]
        if missing or not rows:
            raise IcmError(
                f"{path}: has no {f'column {missing[0]}' if missing else 'rows'}; "
                f"expected {', '.join(COLUMNS[name])}"
            )
        return rows


def _empty() -> Counters:
    return {"objects": OpenImages.empty()}


def _count(answer: Instances, label: dict[str, list[list[float]]]) -> Counters:
    rows = np.array(label["boxes"], np.float64).reshape(-1, 6)
    truth = OpenImagesTruth(
        rows[:, :4], rows[:, 4].astype(int), rows[:, 5] == 1, np.array(label["verified"][0], int)
    )
    boxes, scores = answer.boxes.astype(np.float64), answer.scores.astype(np.float64)
    return {"objects": OpenImages.empty().update(boxes, scores, answer.categories, truth)}


def _scores(counters: Counters, labels: Labels | None) -> dict[str, float]:
    return {"ap50": 100 * counters["objects"].compute().ap50}


TASK = Task(
    name="open-images",
    recognizers=("faster-rcnn", "mask-rcnn", "faster-rcnn-torchvision", "mask-rcnn-torchvision"),
    metrics=(Metric("ap50", "AP50 (%)", low=0, high=100),),
    answers=detections,
    open_labels=OpenImagesFolder,
    empty=_empty,
    count=_count,
    scores=_scores,
)
