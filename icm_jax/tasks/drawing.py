"""Answers of networks drawn on pictures, and said in a few words."""

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from icm_jax.recognizers.detection.inference import Instances

SHARE = 0.5  # of a class's colour in the mixture with the picture
LEAST_SCORE = 0.5  # of a detection that is drawn
SALIENT = np.array([255, 40, 40], np.float32)

Picture = UInt8[np.ndarray, "h w 3"]
Drawn = tuple[Picture | None, str]


def drawn(task: str, picture: Picture | None, answer: Any) -> Drawn:
    """The picture with the answer of a task's network on it, and the answer in words; either may be missing.

    Tasks without a drawing leave the picture as it is.
    """
    draw = DRAWINGS.get(task)
    return draw(picture, answer) if draw else (picture, "")


def class_colours(count: int) -> UInt8[np.ndarray, "n 3"]:
    """Colours far from each other, black for class 0, the background."""
    golden = 0.61803399
    colours = [colorsys.hsv_to_rgb(i * golden % 1, 0.75, 1.0) for i in range(1, count)]
    return np.round(255 * np.array([(0.0, 0.0, 0.0), *colours])).astype(np.uint8)


def _class(picture: Picture | None, logits: np.ndarray) -> Drawn:
    probability = np.exp(logits - logits.max())
    best = int(logits.argmax())
    return picture, f"class {best}, {100 * probability[best] / probability.sum():.0f} %"


def _class_map(picture: Picture | None, classes: np.ndarray) -> Drawn:
    if picture is None:
        return None, ""
    colours = class_colours(256)[classes].astype(np.float32)
    mixed = np.where((classes > 0)[..., None], (1 - SHARE) * picture + SHARE * colours, picture)
    return np.round(mixed).astype(np.uint8), f"{len(np.unique(classes[classes > 0]))} classes"


def _saliency(picture: Picture | None, saliency: np.ndarray) -> Drawn:
    if picture is None:
        return None, ""
    share = SHARE * np.clip(saliency, 0, 1)[..., None]
    return np.round((1 - share) * picture + share * SALIENT).astype(np.uint8), ""


def _instances(picture: Picture | None, found: Instances) -> Drawn:
    kept = found.scores >= LEAST_SCORE
    words = f"{int(kept.sum())} objects"
    if picture is None:
        return None, words
    colours = class_colours(256)[found.categories]
    shown = picture.astype(np.float32)
    if found.masks is not None:
        for mask, colour in zip(found.masks[kept], colours[kept], strict=True):
            shown[mask] = (1 - SHARE) * shown[mask] + SHARE * colour
    page = Image.fromarray(np.round(shown).astype(np.uint8))
    draw = ImageDraw.Draw(page)
    for box, colour in zip(found.boxes[kept], colours[kept], strict=True):
        draw.rectangle(box.tolist(), outline=tuple(map(int, colour)), width=2)
    return np.asarray(page), words


DRAWINGS: dict[str, Callable[[Picture | None, Any], Drawn]] = {
    "classification": _class,
    "semseg": _class_map,
    "semseg-nyud": _class_map,
    "human_parts": _class_map,
    "saliency": _saliency,
    "detection": _instances,
    "open-images": _instances,
    "instances": _instances,
}
