"""Boxes (x0, y0, x1, y1) in pixels, edges at whole numbers, no "+1" anywhere."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

Boxes = Float[Array, "*n 4"]
Weights = tuple[float, float, float, float]

RPN_WEIGHTS: Weights = (1.0, 1.0, 1.0, 1.0)
HEAD_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)
LARGEST_GROWTH = math.log(1000 / 16)  # of a side; beyond it exp would leave the image by far


def decode(deltas: Boxes, anchors: Boxes, weights: Weights) -> Boxes:
    """Anchors moved by dx, dy of their size and grown by exp(dw), exp(dh), all divided by `weights` first."""
    dx, dy, dw, dh = jnp.moveaxis(deltas / jnp.asarray(weights, deltas.dtype), -1, 0)
    x, y, width, height = _centres(anchors)
    x, y = dx * width + x, dy * height + y
    half_width = 0.5 * width * jnp.exp(jnp.minimum(dw, LARGEST_GROWTH))
    half_height = 0.5 * height * jnp.exp(jnp.minimum(dh, LARGEST_GROWTH))
    return jnp.stack([x - half_width, y - half_height, x + half_width, y + half_height], -1)


def encode(boxes: Boxes, anchors: Boxes, weights: Weights) -> Boxes:
    """The deltas that make `boxes` of `anchors`; inverse of `decode`."""
    x, y, width, height = _centres(anchors)
    to_x, to_y, to_width, to_height = _centres(boxes)
    deltas = [(to_x - x) / width, (to_y - y) / height, jnp.log(to_width / width), jnp.log(to_height / height)]
    return jnp.stack(deltas, -1) * jnp.asarray(weights, boxes.dtype)


def clip(boxes: Boxes, size: Float[Array, "2"]) -> Boxes:
    """Boxes cut to an image of `size` = (height, width)."""
    height, width = size
    return jnp.clip(boxes, 0, jnp.stack([width, height, width, height]))


def areas(boxes: Boxes) -> Float[Array, "*n"]:
    """Width times height."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def is_large(boxes: Boxes, least: float) -> Array:
    """Whether both sides are positive and at least `least`."""
    sides = boxes[..., 2:] - boxes[..., :2]
    return ((sides > 0) & (sides >= least)).all(-1)


def iou(boxes: Boxes, others: Boxes) -> Float[Array, "*n"]:
    """Intersection over union, pairs by broadcasting; 0 where both are empty."""
    low = jnp.maximum(boxes[..., :2], others[..., :2])
    high = jnp.minimum(boxes[..., 2:], others[..., 2:])
    shared = jnp.prod(jnp.maximum(high - low, 0), -1)
    union = areas(boxes) + areas(others) - shared
    return jnp.where(union > 0, shared / jnp.where(union > 0, union, 1), 0)


def cell_anchors(size: float, rounded: bool) -> np.ndarray:
    """[3, 4]: anchors of `size`² pixels around the origin, height / width = 1/2, 1, 2."""
    ratios = np.array([0.5, 1.0, 2.0])
    sides = size * np.stack([1 / np.sqrt(ratios), np.sqrt(ratios)], -1)
    corners = np.concatenate([-sides, sides], -1) / 2
    return (np.round(corners) if rounded else corners).astype(np.float32)


def grid_anchors(
    cells: np.ndarray, map_size: tuple[int, int], stride: tuple[int, int]
) -> Float[Array, "h*w*a 4"]:
    """The cell's anchors at every position of a map: by row, column, anchor."""
    y = jnp.arange(map_size[0], dtype=jnp.float32)[:, None, None] * stride[0]
    x = jnp.arange(map_size[1], dtype=jnp.float32)[None, :, None] * stride[1]
    corners = [centre + cells[:, i] for i, centre in enumerate((x, y, x, y))]
    return jnp.stack(jnp.broadcast_arrays(*corners), -1).reshape(-1, 4)


def _centres(boxes: Boxes) -> tuple[Array, Array, Array, Array]:
    """Centres and sizes: x, y, width, height."""
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    return boxes[..., 0] + 0.5 * width, boxes[..., 1] + 0.5 * height, width, height
