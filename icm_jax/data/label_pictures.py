"""Labels as pictures for people: classes in colours, depth from near to far, normals as they are usually shown."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from icm_jax.data.label_rules import KINDS
from icm_jax.data.run_lengths import decode_mask
from icm_jax.metrics.meter import IGNORE

Picture = UInt8[np.ndarray, "h w 3"]
NOTHING = (64, 64, 64)  # where a label does not count
NEAR_TO_FAR = np.array(
    [[252, 253, 191], [254, 159, 109], [222, 73, 104], [140, 41, 129], [59, 15, 112], [0, 0, 4]]
)


def class_colours(count: int) -> UInt8[np.ndarray, "n 3"]:
    """Colours of classes as VOC chooses them: bits of the number, spread over the high bits of red, green and blue."""
    numbers = np.arange(count)[:, None]
    bits = sum(((numbers >> (3 * i + np.arange(3))) & 1) << (7 - i) for i in range(3))
    return np.asarray(bits, np.uint8)


def label_picture(name: str, label: np.ndarray) -> Picture:
    """A label of `label_rules.KINDS` as a picture."""
    match KINDS[name]:
        case "classes":
            colours = class_colours(256)
            colours[IGNORE] = NOTHING
            return colours[label]
        case "depth":
            return _depth(label)
        case "normals":
            is_vector = (label != 0).any(-1, keepdims=True)
            return np.where(is_vector, np.round((label + 1) * 127.5), NOTHING).astype(np.uint8)
        case "boundary":
            return np.repeat(((label == 0) * 255).astype(np.uint8)[..., None], 3, axis=-1)
        case _:
            return np.repeat(label[..., None], 3, axis=-1)


def _depth(depth: Float[np.ndarray, "h w"]) -> Picture:
    """The nearest pixel is light, the farthest dark."""
    measured = depth > 0
    near, far = (depth[measured].min(), depth[measured].max()) if measured.any() else (0.0, 1.0)
    place = (depth - near) / max(far - near, 1e-6) * (len(NEAR_TO_FAR) - 1)
    steps = np.arange(len(NEAR_TO_FAR))
    colours = np.stack([np.interp(place, steps, NEAR_TO_FAR[:, i]) for i in range(3)], axis=-1)
    return np.where(measured[..., None], np.round(colours), NOTHING).astype(np.uint8)


def draw_things(image: Picture, things: Sequence[dict[str, Any]], names: Sequence[str]) -> Picture:
    """Boxes (left, top, right, bottom in pixels), masks and names over a photo.

    Args:
        things: `box`, and `segmentation` where there is a mask of the photo's size.
        names: of the things.
    """
    colours = class_colours(256)[1:]
    colour_of = {name: tuple(colours[i % 255].tolist()) for i, name in enumerate(dict.fromkeys(names))}
    blend = image.astype(np.float32)
    for thing, name in zip(things, names, strict=True):
        mask = decode_mask(thing["segmentation"]) if thing.get("segmentation") else None
        if mask is not None and mask.shape == image.shape[:2]:
            blend[mask] = 0.5 * blend[mask] + 0.5 * np.array(colour_of[name])
    drawn = Image.fromarray(blend.astype(np.uint8))
    draw = ImageDraw.Draw(drawn)
    for thing, name in zip(things, names, strict=True):
        draw.rectangle(tuple(thing["box"]), outline=colour_of[name], width=2)
        draw.text(
            (thing["box"][0] + 3, thing["box"][1] + 1),
            name,
            fill="white",
            stroke_width=1,
            stroke_fill="black",
        )
    return np.asarray(drawn)
