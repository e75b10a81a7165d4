"""From scores to boxes, for one image: proposals of the RPN, levels of boxes, detections of the box head."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int

from icm_jax.recognizers.detection.boxes import HEAD_WEIGHTS, RPN_WEIGHTS, areas, clip, decode, is_large
from icm_jax.recognizers.detection.nms import best_survivors
from icm_jax.recognizers.detection.spec import DetectorSpec

CANONICAL_LEVEL, POOLED_LEVELS = 2, 4  # p4 and the number of levels, counted from p2


class Proposals(NamedTuple):
    """The RPN's boxes by falling score; `found` says which exist."""

    boxes: Float[Array, "n 4"]
    logits: Float[Array, "n"]
    levels: Int[Array, "n"]
    found: Bool[Array, "n"]


class Chosen(NamedTuple):
    """The final boxes by falling score: columns of the classifier, rows of the proposals; `found`: which exist."""

    boxes: Float[Array, "n 4"]
    scores: Float[Array, "n"]
    columns: Int[Array, "n"]
    rows: Int[Array, "n"]
    found: Bool[Array, "n"]


def propose(
    spec: DetectorSpec,
    logits: Sequence[Float[Array, "n_l"]],
    deltas: Sequence[Float[Array, "n_l 4"]],
    anchors: Sequence[Float[Array, "n_l 4"]],
    size: Float[Array, "2"],
) -> Proposals:
    """The best boxes of every level, cut to the image of `size` = (height, width), without those they overlap."""
    candidates = []
    for level, (scores, moves, cells) in enumerate(zip(logits, deltas, anchors, strict=True)):
        best, index = jax.lax.top_k(scores, min(spec.per_level, len(scores)))
        boxes = clip(decode(moves[index], cells[index], RPN_WEIGHTS), size)
        candidates.append((boxes, best, jnp.full(len(index), level)))
    boxes, scores, levels = (jnp.concatenate(parts) for parts in zip(*candidates, strict=True))
    scores = jnp.where(is_large(boxes, spec.conventions.least_proposal), scores, -jnp.inf)
    index, found = best_survivors(boxes, scores, levels, spec.proposal_overlap, spec.proposals)
    return Proposals(boxes[index] * found[:, None], scores[index], levels[index], found)


def pyramid_level(spec: DetectorSpec, boxes: Float[Array, "n 4"]) -> Int[Array, "n"]:
    """Which of p2 … p5 a box is pooled from: one level up for twice the side."""
    relative = jnp.sqrt(areas(boxes)) / spec.canonical + spec.conventions.level_inside
    level = jnp.floor(CANONICAL_LEVEL + jnp.log2(relative) + spec.conventions.level_outside)
    return jnp.clip(level, 0, POOLED_LEVELS - 1).astype(int)


def choose(
    spec: DetectorSpec,
    proposals: Proposals,
    logits: Float[Array, "n k1"],
    deltas: Float[Array, "n k 4"],
    size: Float[Array, "2"],
) -> Chosen:
    """The best boxes of all classes, each class suppressing on its own."""
    rows, classes = len(logits), spec.classes
    first = int(spec.conventions.background_first)
    scores = jax.nn.softmax(logits)[:, first : first + classes]
    boxes = decode(deltas[:, first : first + classes], proposals.boxes[:, None], HEAD_WEIGHTS)
    boxes = clip(boxes, size)
    keep = (scores > spec.score) & proposals.found[:, None]
    if spec.conventions.least_box:
        keep &= is_large(boxes, spec.conventions.least_box)
    flat = jnp.where(keep, scores, -jnp.inf).reshape(-1)
    columns = jnp.tile(jnp.arange(first, first + classes), rows)
    boxes = boxes.reshape(-1, 4)
    index, found = best_survivors(boxes, flat, columns, spec.box_overlap, spec.detections)
    return Chosen(
        boxes[index] * found[:, None],
        jnp.where(found, flat[index], 0),
        columns[index],
        index // classes,
        found,
    )
