"""COCO average precision of boxes or masks, computed by pycocotools (optional extra `eval`)."""

import contextlib
import copy
import importlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from icm_jax.errors import IcmError

IouType = Literal["bbox", "segm"]


class CocoScore(NamedTuple):
    """The twelve figures of COCO in [0, 1]; -1 where there is nothing to find.

    `ap` is the mean over IoU 0.50 … 0.95; small, medium and large areas part at 32² and 96² pixels; `ar1` is
    the recall with one detection an image.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float


@dataclass(frozen=True)
class CocoDetections:
    """Detections in COCO's result format and the images they come from, found or not."""

    image_ids: tuple[int, ...] = ()
    detections: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def empty(cls) -> Self:
        return cls()

    def update(self, image_id: int, detections: Sequence[Mapping[str, Any]]) -> Self:
        """Adds an image.

        Each detection has `category_id` (COCO's own, 1 to 90), `score`, and `bbox` (x, y, width, height) or
        `segmentation` (RLE), in pixels of the original image. An image without detections is added with none.
        """
        named = tuple({**detection, "image_id": image_id} for detection in detections)
        return self.merge(type(self)((image_id,), named))

    def merge(self, other: Self) -> Self:
        twice = set(self.image_ids) & set(other.image_ids)
        if twice:
            raise IcmError(f"image {min(twice)} was counted twice; give each process other images")
        return type(self)(self.image_ids + other.image_ids, self.detections + other.detections)

    def compute(self, ground_truth: Path | Mapping[str, Any], iou_type: IouType = "bbox") -> CocoScore:
        """Scores the images added, and no others, against an annotation file or its content.

        Raises:
            IcmError: pycocotools is not installed, no image was added, or one is unknown to the ground truth.
        """
        coco, cocoeval = _pycocotools()
        dataset = json.loads(ground_truth.read_text()) if isinstance(ground_truth, Path) else ground_truth
        unknown = set(self.image_ids) - {image["id"] for image in dataset["images"]}
        if unknown or not self.image_ids:
            what = f"image {min(unknown)} is not among" if unknown else "no image was added to"
            count = len(dataset["images"])
            raise IcmError(f"{what} the {count} annotated images; add images by their COCO ids")
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress, without a switch
            truth = _index(coco, copy.deepcopy(dict(dataset)))
            evaluation = cocoeval.COCOeval(truth, self._results(coco, truth), iou_type)
            evaluation.params.imgIds = sorted(self.image_ids)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return CocoScore(*map(float, evaluation.stats))

    def _results(self, coco: Any, truth: Any) -> Any:
        if not self.detections:  # loadRes stops at an empty list
            return _index(coco, {**truth.dataset, "annotations": []})
        return truth.loadRes(copy.deepcopy(list(self.detections)))  # which writes ids and areas into them


def _index(coco: Any, dataset: dict[str, Any]) -> Any:
    indexed = coco.COCO()
    indexed.dataset = {"info": {}, **dataset}
    indexed.createIndex()
    return indexed


def _pycocotools() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pycocotools.coco"), importlib.import_module("pycocotools.cocoeval")
    except ImportError as error:
        raise IcmError(
            "COCO average precision needs pycocotools, which is not installed; pip install 'icm-jax[eval]'"
        ) from error
