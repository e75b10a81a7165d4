"""Geometry of photos and their labels together: mirroring, turning and scaling, resizing, cropping, padding.

Every step takes and gives a sample: `image` [h, w, 3] and labels of `label_rules.KINDS`. Nothing is rounded before
`finished`. Two families of papers: ASTMT (mirror ─► warp ─► resize) and InvPT (scale ─► crop ─► mirror ─► pad).
K. Maninis et al., "Attentive Single-Tasking of Multiple Tasks", CVPR 2019; H. Ye and D. Xu, "InvPT", ECCV 2022.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from icm_jax.data.label_rules import KINDS
from icm_jax.errors import IcmError
from icm_jax.metrics.meter import IGNORE

Sample = dict[str, np.ndarray]
Size = tuple[int, int]  # height, width

SALIENT = 127  # of 255: above it
EPS_LENGTH = 1e-12


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged; normals point the other way in x."""
    flipped = {name: np.ascontiguousarray(value[:, ::-1]) for name, value in sample.items()}
    if "normals" in flipped:
        flipped["normals"] = flipped["normals"] * np.array([-1, 1, 1], np.float32)
    return flipped


def warped(sample: Sample, degrees: float, scale: float, border: int = IGNORE) -> Sample:
    """Turned counter-clockwise and enlarged about the centre, in a frame of the same size.

    Normals turn with the picture, their y pointing down as in the archives; what is nearer looks larger, so depth is
    divided by the scale.

    Args:
        border: what class maps, saliency and boundaries hold where the frame is empty. The reference has 0, which is
            a class.
    """
    height, width = _size(sample)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)

    def warp(name: str, value: np.ndarray) -> np.ndarray:
        smooth = name in ("image", "normals")
        result: np.ndarray = cv2.warpAffine(
            value,
            matrix,
            (width, height),
            flags=cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0 if name in ("image", "normals", "depth") else border,
        )
        return result

    moved = _each(sample, warp)
    if "normals" in moved:
        moved["normals"] = _turned(moved["normals"], np.deg2rad(degrees))
    return _nearer(moved, scale)


def _turned(normals: np.ndarray, angle: float) -> np.ndarray:
    x, y, z = np.moveaxis(normals, -1, 0)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.stack([x * cos + y * sin, y * cos - x * sin, z], axis=-1)


def _nearer(sample: Sample, scale: float) -> Sample:
    return {name: value / np.float32(scale) if name == "depth" else value for name, value in sample.items()}


def resized(sample: Sample, size: Size) -> Sample:
    """Of another size, aspect ratio given up; normals are unit vectors again."""

    def resize(name: str, value: np.ndarray) -> np.ndarray:
        method = cv2.INTER_CUBIC if name in ("image", "normals") else cv2.INTER_NEAREST
        result: np.ndarray = cv2.resize(value, size[::-1], interpolation=method)
        return result

    result = _each(sample, resize) if _size(sample) != size else dict(sample)
    if "normals" in result:
        length = np.linalg.norm(result["normals"], axis=-1, keepdims=True)
        result["normals"] = result["normals"] / np.maximum(length, EPS_LENGTH)
    return result


def scaled(sample: Sample, scale: float) -> Sample:
    """Enlarged, as InvPT does it: the photo bilinear, every label by its nearest pixel, depth divided by the scale."""
    height, width = (int(side * scale) for side in _size(sample))

    def resize(name: str, value: np.ndarray) -> np.ndarray:
        method = cv2.INTER_LINEAR if name == "image" else cv2.INTER_NEAREST
        result: np.ndarray = cv2.resize(value, (width, height), interpolation=method)
        return result

    return _nearer(_each(sample, resize), scale)


def cropped(
    sample: Sample, size: Size, rng: np.random.Generator, tries: int = 10, largest_share: float = 0.75
) -> Sample:
    """A random part of at most this size, drawn again while it is nearly all of one class.

    Args:
        tries: after these the last part is taken.
        largest_share: of the class with most pixels, of those that count; there have to be two classes.

    Raises:
        IcmError: `semseg`, by which parts are judged, is missing.
    """
    if "semseg" not in sample:
        raise IcmError(f"crops are judged by semseg, the sample has {', '.join(sample)}; load semseg too")
    height, width = (min(side, most) for side, most in zip(_size(sample), size, strict=True))
    for _ in range(tries):
        top = int(rng.integers(0, _size(sample)[0] - height + 1))
        left = int(rng.integers(0, _size(sample)[1] - width + 1))
        part = {name: value[top : top + height, left : left + width] for name, value in sample.items()}
        counts = np.bincount(part["semseg"].ravel(), minlength=IGNORE + 1)[:IGNORE]
        if (counts > 0).sum() > 1 and counts.max() < largest_share * counts.sum():
            break
    return part


def middle(sample: Sample, size: Size) -> Sample:
    """The part in the middle of at most this size."""
    top, left = (max(0, side - most) // 2 for side, most in zip(_size(sample), size, strict=True))
    return {name: value[top : top + size[0], left : left + size[1]] for name, value in sample.items()}


def padded(sample: Sample, size: Size, fill: tuple[int, int, int]) -> Sample:
    """In the middle of a frame of `size`; `fill` is the colour around the photo.

    Raises:
        IcmError: the sample is larger.
    """
    height, width = _size(sample)
    if height > size[0] or width > size[1]:
        raise IcmError(
            f"{width}×{height} does not fit in {size[1]}×{size[0]}; take a larger size, or crop first"
        )
    top, left = (size[0] - height) // 2, (size[1] - width) // 2

    def pad(name: str, value: np.ndarray) -> np.ndarray:
        around = {"image": fill, "normals": 0, "depth": 0}.get(name, IGNORE)
        frame = np.full((*size, *value.shape[2:]), around, value.dtype)
        frame[top : top + height, left : left + width] = value
        return frame

    return _each(sample, pad)


def finished(sample: Sample) -> Sample:
    """What losses and metrics take: the photo as uint8, saliency as 0 and 1, and 255 wherever nothing is known.

    That is: normals without a direction (all three entries), depth 0, and human parts of a picture without people.
    """
    result = dict(sample)
    if sample["image"].dtype != np.uint8:
        result["image"] = np.clip(np.rint(sample["image"]), 0, 255).astype(np.uint8)  # cubic overshoots
    if "normals" in sample:
        is_zero = ~(sample["normals"] != 0).any(-1, keepdims=True)
        result["normals"] = np.where(is_zero, np.float32(IGNORE), sample["normals"])
    if "depth" in sample:
        result["depth"] = np.where(sample["depth"] == 0, np.float32(IGNORE), sample["depth"])
    if "human_parts" in sample and np.isin(sample["human_parts"], (0, IGNORE)).all():
        result["human_parts"] = np.full_like(sample["human_parts"], IGNORE)
    return result


def prepared(sample: Mapping[str, np.ndarray]) -> Sample:
    """The photo in float32 and the labels of a stored sample; saliency as 0 and 1."""
    labels = {name: value for name, value in sample.items() if name in KINDS}
    if "sal" in labels:
        labels["sal"] = (labels["sal"] > SALIENT).astype(np.uint8)
    return {"image": sample["image"].astype(np.float32), **labels}


def _each(sample: Sample, change: Callable[[str, np.ndarray], np.ndarray]) -> Sample:
    return {name: change(name, value) for name, value in sample.items()}


def _size(sample: Sample) -> Size:
    height, width = sample["image"].shape[:2]
    return height, width
