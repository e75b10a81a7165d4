"""Golden checks of detection: the operators one by one, then a small detector from its feature maps to its masks.

The references were computed in float64. The files say that every decision (overlap, level, order) is far from its
threshold, so lists of boxes are the same or something is wrong.
"""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.recognizers import fpn
from icm_jax.recognizers.detection import boxes as box
from icm_jax.recognizers.detection.heads import (
    ANCHOR_SIZES,
    BOX_BINS,
    MASK_BINS,
    BoxHead,
    Heads,
    MaskHead,
    masks_of,
    pool_regions,
)
from icm_jax.recognizers.detection.inference import PREPROCESSING_DETECTRON2, in_photo
from icm_jax.recognizers.detection.nms import best_survivors
from icm_jax.recognizers.detection.roi_align import Sampling, roi_align
from icm_jax.recognizers.detection.selection import pyramid_level
from icm_jax.recognizers.detection.spec import DETECTRON2, TORCHVISION, DetectorSpec
from icm_jax.recognizers.resnet import LAYERS
from weights_convert.detectron2 import STAGES, fpn_from_state_dict, head_rules
from weights_convert.golden_file import EXACT, GoldenFile, Row, Tolerance
from weights_convert.golden_recognizers import TAP, compare_taps
from weights_convert.hash_weights import hash_state_dict
from weights_convert.keymap import convert

COORDINATES = Tolerance(absolute=1e-3, relative=1e-5)  # pixels
CONVENTIONS = {"d2": DETECTRON2, "tv": TORCHVISION}
MODES = {"aligned": True, "legacy": False}


def check_d2_resnet_fpn(path: Path) -> list[Row]:
    """A detectron2 ResNet with pyramid, of any size; `input_scale` keeps its numbers small."""
    file = GoldenFile(path)
    network, params = fpn_from_state_dict(hash_state_dict(file))
    image = jnp.asarray(file.read("image")[None] / np.float32(255))
    x = PREPROCESSING_DETECTRON2.normalise(image) * file.read("input_scale")
    with jax.default_matmul_precision("highest"):
        taps = jax.jit(network.apply)({"params": params}, x)
    ours = {"stem": "stem", **dict(zip(LAYERS, STAGES, strict=True)), **{p: p for p in fpn.PYRAMID}}
    compare_taps(file, "", ours, taps)
    return file.finish()


def check_detection_ops(path: Path) -> list[Row]:
    """ROIAlign in its variants, suppression, box arithmetic, anchors, levels."""
    file = GoldenFile(path)
    _check_roi_align(file)
    _check_suppression(file)
    boxes, deltas = jnp.asarray(file.read("nms_boxes")), jnp.asarray(file.read("deltas"))
    rows, columns = file.read("iou_matrix").shape
    file.compare("iou_matrix", box.iou(boxes[:rows, None], boxes[None, :columns]), TAP)
    for name, weights in (("rpn", box.RPN_WEIGHTS), ("box", box.HEAD_WEIGHTS)):
        file.compare(f"decoded_{name}", box.decode(deltas, boxes, weights), COORDINATES)
        file.compare(f"encoded_{name}", box.encode(jnp.roll(boxes, 7, 0), boxes, weights), TAP)
    for match in list(file.matching(r"cell_(d2|tv)_(\d+)")):
        rounded = CONVENTIONS[match[1]].rounded_anchors
        file.compare(match[0], box.cell_anchors(int(match[2]), rounded), COORDINATES)
    for name, conventions in CONVENTIONS.items():
        levels = pyramid_level(DetectorSpec(conventions=conventions), jnp.asarray(file.read("level_boxes")))
        file.compare(f"level_{name}", levels + 2, EXACT)
    return file.finish()


def _check_roi_align(file: GoldenFile) -> None:
    feature = jnp.asarray(file.read("feature").transpose(1, 2, 0))
    rois, scale = jnp.asarray(file.read("rois")), float(file.read("spatial_scale"))
    for match in list(file.matching(r"roialign_P(\d+)_sr(\d+)_(aligned|legacy)")):
        sampling = Sampling(MODES[match[3]], int(match[2]))
        some = rois[: len(file.read(match[0]))]
        levels = jnp.zeros(len(some), int)
        pooled = jax.jit(roi_align, static_argnums=(3, 4, 5))(
            [feature], some, levels, (scale,), int(match[1]), sampling
        )
        file.compare(match[0], np.asarray(pooled).transpose(0, 3, 1, 2), TAP)


def _check_suppression(file: GoldenFile) -> None:
    boxes, scores = jnp.asarray(file.read("nms_boxes")), jnp.asarray(file.read("nms_scores"))
    groups = file.read("nms_groups")
    for match in list(file.matching(r"nms_keep_(grouped_)?([\d.]+)")):
        of = groups if match[1] else np.zeros_like(groups)
        index, exists = best_survivors(boxes, scores, jnp.asarray(of), float(match[2]), len(boxes))
        file.compare(match[0], np.asarray(index)[np.asarray(exists)], EXACT)


def check_detection_e2e(path: Path) -> list[Row]:
    """The heads of a small Mask R-CNN on given maps; sizes and settings come from the file.

    Boxes are those of the whole chain. What is computed inside boxes is fed with the boxes of the reference: these
    maps are noise, and a coordinate's last bit moves what is read from them by more than all arithmetic after it.
    """
    file = GoldenFile(path)
    spec, params = _small_detector(file)
    maps = {level: jnp.asarray(file.read(level).transpose(1, 2, 0)[None]) for level in fpn.PYRAMID}
    padded, sizes = (
        tuple(file.read("padded_hw").tolist()),
        jnp.asarray(file.read("image_hw")[None], jnp.float32),
    )
    with jax.default_matmul_precision("highest"):
        out = jax.jit(lambda params: Heads(spec).apply({"params": params}, maps, padded, sizes))(params)
        found = {name: value if name.startswith("anchors") else value[0] for name, value in out.items()}
        _check_rpn(file, found, padded)
        for theirs, ours in {"boxes": COORDINATES, "scores": TAP}.items():
            file.compare(f"det_{theirs}", found[theirs], ours)
        file.compare("det_classes", found["columns"], EXACT)
        file.compare("det_roi_index", found["rows"], EXACT)
        _check_box_head(file, spec, maps, params)
        _check_masks(file, spec, maps, params)
    return file.finish()


def _small_detector(file: GoldenFile) -> tuple[DetectorSpec, dict[str, Any]]:
    """Heads with the file's weights, and its settings instead of the published ones."""
    weights = file.read_group("w/")
    settings = str(file.read("settings"))
    number = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", settings)}
    spec = DetectorSpec(
        channels=len(weights["proposal_generator.rpn_head.conv.bias"]),
        hidden=len(weights["roi_heads.box_head.fc1.bias"]),
        classes=len(weights["roi_heads.box_predictor.cls_score.bias"]) - 1,
        mask_channels=len(weights["roi_heads.mask_head.deconv.bias"]),
        per_level=int(number["pre_nms_topk"]),
        proposals=int(number["post_nms_topk"]),
        proposal_overlap=number["rpn_nms"],
        box_overlap=number["box_nms"],
        score=number["score_thresh"],
        detections=int(number["detections"]),
        canonical=number["canonical_box_size"],
    )
    maps = {level: jnp.zeros((1, 8, 8, spec.channels)) for level in fpn.PYRAMID}
    initial = jax.eval_shape(lambda: Heads(spec).init(jax.random.key(0), maps, (8, 8), jnp.ones((1, 2))))
    return spec, convert(weights, head_rules("", spec.channels), initial["params"])


def _pair(file: GoldenFile, name: str) -> tuple[int, int]:
    height, width = file.read(name).tolist()
    return height, width


def _check_rpn(file: GoldenFile, found: dict[str, jax.Array], padded: tuple[int, int]) -> None:
    for level, size in zip(fpn.PYRAMID, ANCHOR_SIZES, strict=True):
        for name in (f"rpn_logits_{level}", f"rpn_deltas_{level}"):
            file.compare(name, found[name].transpose(2, 0, 1), TAP)
        file.compare(f"anchors_{level}", found[f"anchors_{level}"], COORDINATES)
        _, *shape = file.arrays[level].shape
        strides = (padded[0] // shape[0], padded[1] // shape[1])
        cells = box.cell_anchors(size, rounded=True)
        file.compare(
            f"anchors_tv_{level}", box.grid_anchors(cells, (shape[0], shape[1]), strides), COORDINATES
        )
    file.compare("proposals", found["proposal_boxes"], COORDINATES)
    file.compare("proposal_logits", found["proposal_logits"], TAP)
    file.compare("proposal_levels", found["proposal_levels"], EXACT)


def _check_box_head(file: GoldenFile, spec: DetectorSpec, maps: dict[str, jax.Array], params: Any) -> None:
    proposals = jnp.asarray(file.read("proposals"))
    file.compare("roi_levels", pyramid_level(spec, proposals), EXACT)
    pooled = jax.jit(lambda boxes: pool_regions(spec, maps, boxes, BOX_BINS)[0])(proposals[None])
    for match in list(file.matching(r"roi_pooled_\d+_first(\d+)")):
        file.compare(match[0], pooled[: int(match[1])].transpose(0, 3, 1, 2), TAP)
    features, logits, deltas = jax.jit(BoxHead(spec).apply)({"params": params["box_head"]}, pooled)
    file.compare("box_head_out", features, TAP)
    file.compare("cls_logits", logits, TAP)
    file.compare("bbox_deltas", deltas, TAP)


def _check_masks(file: GoldenFile, spec: DetectorSpec, maps: dict[str, jax.Array], params: Any) -> None:
    """Probabilities inside the boxes, then boxes and masks in the photo."""
    boxes, columns = file.read("det_boxes"), file.read("det_classes")
    pooled = jax.jit(lambda boxes: pool_regions(spec, maps, boxes, MASK_BINS)[0])(jnp.asarray(boxes)[None])
    logits = jax.jit(MaskHead(spec).apply)({"params": params["mask_head"]}, pooled)
    masks = np.asarray(masks_of(logits, jnp.asarray(columns)))
    for match in list(file.matching(r"mask_probs_\d+")):
        file.compare(match[0], masks, TAP)
    found = {"boxes": boxes, "scores": file.read("det_scores"), "columns": columns, "masks": masks}
    instances = in_photo(found, _pair(file, "image_hw"), _pair(file, "out_hw"), spec)
    shown = np.asarray(instances.masks)
    file.compare("out_boxes", instances.boxes, COORDINATES)
    file.compare("out_masks_shape", shown.shape, EXACT)
    file.compare("out_masks_packed", np.packbits(shown), EXACT)
    file.ignore("margins", "says how near the decisions of the reference come to their thresholds")
