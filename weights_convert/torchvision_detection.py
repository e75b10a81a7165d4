"""Faster and Mask R-CNN of torchvision on ResNet and pyramid: names, old and new, and shapes of their state dicts."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from icm_jax.recognizers.detection.rcnn import RCNN
from icm_jax.recognizers.detection.spec import TORCHVISION, DetectorSpec
from weights_convert.detectron2 import expected_params, flattened, layer_rules
from weights_convert.keymap import CONV, DECONV, DENSE, ConversionError, Rule
from weights_convert.network_map import NetworkMap, Shapes
from weights_convert.torchvision import body_rules, resnet_spec, shape

LEVELS = (2, 3, 4, 5)


def rcnn_from_state_dict(
    state_dict: Mapping[str, np.ndarray], eps: float = 0.0
) -> tuple[RCNN, dict[str, Any]]:
    """Faster R-CNN, or Mask R-CNN where there is a mask head, of any size, and its parameters.

    Args:
        eps: of the norms: 0 in the published COCO files, which were trained before norms had one; 1e-5 in others.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    return rcnn_map(eps).convert(state_dict)


def detector_rules(channels: int) -> tuple[Rule, ...]:
    """The key map of a whole detector. `(?:\\.0)?` is what newer files have behind a layer's number."""
    fpn, rpn, box, mask = r"backbone\.fpn\.", r"rpn\.head\.", r"roi_heads\.box_", r"roi_heads\.mask_"
    pyramid = (
        layer_rules(fpn + rf"{theirs}\.{level - LEVELS[0]}(?:\.0)?", f"backbone/{ours}_p{level}", CONV)
        for theirs, ours in (("inner_blocks", "lateral"), ("layer_blocks", "output"))
        for level in LEVELS
    )
    return (
        *body_rules(r"backbone\.body\.", "backbone/body/"),
        *(rule for rules in pyramid for rule in rules),
        *layer_rules(rpn + r"conv(?:\.0\.0)?", "heads/rpn/conv", CONV),
        *layer_rules(rpn + "cls_logits", "heads/rpn/objectness", CONV),
        *layer_rules(rpn + "bbox_pred", "heads/rpn/deltas", CONV),
        *layer_rules(box + r"head\.fc6", "heads/box_head/fc1", flattened(channels)),
        *layer_rules(box + r"head\.fc7", "heads/box_head/fc2", DENSE),
        *layer_rules(box + r"predictor\.cls_score", "heads/box_head/logits", DENSE),
        *layer_rules(box + r"predictor\.bbox_pred", "heads/box_head/deltas", DENSE),
        *(
            rule
            for i in range(4)
            for name in (rf"{i}\.0", f"mask_fcn{i + 1}")
            for rule in layer_rules(mask + rf"head\.{name}", f"heads/mask_head/conv{i + 1}", CONV)
        ),
        *layer_rules(mask + r"predictor\.conv5_mask", "heads/mask_head/double", DECONV),
        *layer_rules(mask + r"predictor\.mask_fcn_logits", "heads/mask_head/masks", CONV),
    )


def detector_spec(shapes: Shapes, eps: float) -> DetectorSpec:
    """Sizes of backbone and heads.

    Raises:
        ConversionError: a name that every detector has is missing.
    """
    conv = next(
        (name for name in ("rpn.head.conv.0.0.weight", "rpn.head.conv.weight") if name in shapes), None
    )
    if conv is None:
        raise ConversionError(
            "rpn.head.conv.0.0.weight is missing: the file holds no detector of torchvision"
        )
    body = resnet_spec(shapes, "backbone.body.")
    return DetectorSpec(
        body=dataclasses.replace(body, eps=eps),
        conventions=TORCHVISION,
        channels=shapes[conv][0],
        hidden=shape(shapes, "roi_heads.box_head.fc6.weight")[0],
        classes=shape(shapes, "roi_heads.box_predictor.cls_score.weight")[0] - 1,
        mask_channels=shapes.get("roi_heads.mask_predictor.conv5_mask.weight", (0, 0))[1],
    )


def rcnn_map(eps: float = 0.0) -> NetworkMap[RCNN]:
    """See `rcnn_from_state_dict`."""
    return NetworkMap(
        infer=lambda shapes: RCNN(detector_spec(shapes, eps)),
        rules=lambda network: detector_rules(network.spec.channels),
        expected=expected_params,
    )
