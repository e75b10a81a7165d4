"""Cases of the ledger: Mask R-CNN of detectron2 and of torchvision, with regions that are given."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.recognizers.detection.heads import BOX_BINS, MASK_BINS, RPN, BoxHead, MaskHead, pool_regions
from icm_jax.recognizers.detection.rcnn import RCNN
from icm_jax.recognizers.detection.spec import DETECTRON2, TORCHVISION, Conventions, DetectorSpec
from icm_jax.recognizers.fpn import PYRAMID, ResNetFPN
from icm_jax.recognizers.resnet import LAYERS, ResNetSpec
from weights_convert import detectron2, torchvision_detection
from weights_convert.live.case import Case, Stages
from weights_convert.network_map import NetworkMap

SIDE, CANONICAL = 64, 56.0  # so that boxes of this image belong to several levels
# Left, top, right, bottom; inside the image, where no rule of borders counts.
BOXES = np.array([[4, 4, 20.5, 17], [8, 6, 60, 58.25], [10.25, 30, 40, 52], [30, 3, 58, 61]])


def small_spec(conventions: Conventions) -> DetectorSpec:
    """The blocks of a ResNet-50 at an eighth of its width."""
    widths = (8, 16, 32, 64), (32, 64, 128, 256)
    body = ResNetSpec((3, 4, 6, 3), 8, *widths, classes=0, stride_first=conventions is DETECTRON2)
    sizes = {"channels": 32, "hidden": 64, "classes": 5, "mask_channels": 16}
    return DetectorSpec(body, conventions, **sizes, canonical=CANONICAL)


def _forward(network: RCNN, params: Any, inputs: Mapping[str, Array]) -> Stages:
    spec, heads = network.spec, params["heads"]
    taps = ResNetFPN(spec.body, spec.channels).apply({"params": params["backbone"]}, inputs["x"])
    stages = {name: taps[name] for name in ("stem", *LAYERS, *PYRAMID)}
    for level in PYRAMID:
        logits, deltas = RPN().apply({"params": heads["rpn"]}, taps[level])
        stages |= {f"rpn_logits_{level}": logits, f"rpn_deltas_{level}": deltas}
    placed = DetectorSpec(spec.body, spec.conventions, canonical=CANONICAL)
    held = jax.lax.stop_gradient(taps)  # detectors are frozen here: pooling has no gradient
    boxes, masks = (
        pool_regions(placed, held, inputs["boxes"][None], bins)[0] for bins in (BOX_BINS, MASK_BINS)
    )
    _, logits, deltas = BoxHead(spec).apply({"params": heads["box_head"]}, boxes)
    stages |= {"box_pooled": boxes, "box_logits": logits, "box_deltas": deltas}
    stages["masks"] = MaskHead(spec).apply({"params": heads["mask_head"]}, masks)
    parts = [
        jnp.mean(value**2) for name, value in stages.items() if name.startswith(("rpn", "box_", "masks"))
    ]
    return {**stages, "loss": jnp.stack(parts).sum()}


def _inputs(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.normal(size=(1, SIDE, SIDE, 3)), "boxes": BOXES}


def _case(family: str, conventions: Conventions, network_map: NetworkMap[RCNN]) -> Case:
    def reference() -> Any:
        from weights_convert.live import torch_detection as reference

        names = {"detectron2": reference.DETECTRON2_NAMES, "torchvision": reference.TORCHVISION_NAMES}
        return reference.Detector(small_spec(conventions), names[family])

    return Case(
        f"Mask R-CNN R50-FPN of {family} at an eighth of its width, box and mask heads on four given regions, image "
        f"{SIDE}×{SIDE}",
        reference,
        network_map,
        _forward,
        _inputs,
    )


DETECTION_CASES = {
    "mask-rcnn": _case("detectron2", DETECTRON2, detectron2.RCNN_MAP),
    "mask-rcnn-torchvision": _case("torchvision", TORCHVISION, torchvision_detection.rcnn_map(eps=1e-5)),
}
