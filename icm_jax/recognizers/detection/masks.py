"""Masks of 28×28 probabilities laid into an image. On the host: the boxes of an image differ in size."""

import numpy as np
from jaxtyping import Bool, Float

THRESHOLD = 0.5


def paste_mask(
    mask: Float[np.ndarray, "m m"], box: Float[np.ndarray, "4"], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """detectron2's way: the mask at the centre of every pixel, bilinear, fading to 0 half a cell outside the box."""
    image = np.zeros(size, bool)
    cell = (box[2:] - box[:2]) / np.array(mask.shape[::-1])
    if not (cell > 0).all():
        return image
    low = np.clip(np.floor(box[:2] - cell).astype(int), 0, size[::-1])
    high = np.clip(np.ceil(box[2:] + cell).astype(int), 0, size[::-1])
    columns, rows = (
        _hats((np.arange(low[axis], high[axis]) + 0.5 - box[axis]) / cell[axis] - 0.5, mask.shape[1 - axis])
        for axis in (0, 1)
    )
    image[low[1] : high[1], low[0] : high[0]] = rows @ mask @ columns.T >= THRESHOLD
    return image


def paste_mask_rounded(
    mask: Float[np.ndarray, "m m"], box: Float[np.ndarray, "4"], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """torchvision's way: a border of zeros, corners cut to whole pixels, then resized to what lies between them.

    The box has to overlap the image.
    """
    image = np.zeros(size, bool)
    side = mask.shape[0]
    mask = np.pad(mask, 1)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * (mask.shape[0] / side)
    low, high = np.trunc(centre - half).astype(int), np.trunc(centre + half).astype(int)
    width, height = np.maximum(high - low + 1, 1)
    rows, columns = (
        _hats(np.clip((np.arange(n) + 0.5) * len(mask) / n - 0.5, 0, len(mask) - 1), len(mask))
        for n in (height, width)
    )
    pasted = rows @ mask @ columns.T > THRESHOLD
    top, left = np.maximum(low[::-1], 0)
    bottom, right = np.minimum(high[::-1] + 1, size)
    image[top:bottom, left:right] = pasted[top - low[1] : bottom - low[1], left - low[0] : right - low[0]]
    return image


def _hats(position: Float[np.ndarray, "n"], length: int) -> Float[np.ndarray, "n m"]:
    """Weights of `length` samples at every position: linear between two, falling to 0 outside."""
    return np.maximum(1 - np.abs(position[:, None] - np.arange(length)), 0)
