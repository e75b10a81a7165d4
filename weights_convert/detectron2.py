"""Faster and Mask R-CNN of facebookresearch/detectron2: names and shapes of its state dicts (names since 2019)."""

from typing import Any

import jax
import numpy as np
from flax import linen as nn

from icm_jax.recognizers.detection.rcnn import RCNN
from icm_jax.recognizers.detection.spec import DetectorSpec
from icm_jax.recognizers.fpn import ResNetFPN
from icm_jax.recognizers.resnet import LAYERS, ResNetSpec
from weights_convert.keymap import CONV, DECONV, DENSE, Layout, Rule
from weights_convert.network_map import NetworkMap, Shapes, StateDict
from weights_convert.torchvision import count, norm_rules, shape

Rules = tuple[Rule, ...]

STAGES = ("res2", "res3", "res4", "res5")  # layer1 to layer4 elsewhere
BODY, FPN = r"backbone\.bottom_up\.", r"backbone\.fpn_"


def unit_rules(prefix: str, target: str) -> Rules:
    """A convolution and the norm inside it."""
    return (
        Rule(prefix + r"\.weight", target + "/conv/kernel", CONV),
        *norm_rules(prefix + r"\.norm", target + "/norm"),
    )


def layer_rules(prefix: str, target: str, layout: Layout) -> Rules:
    """A kernel and its bias."""
    return (
        Rule(prefix + r"\.weight", target + "/kernel", layout),
        Rule(prefix + r"\.bias", target + "/bias"),
    )


def backbone_rules(target: str) -> Rules:
    """ResNet and pyramid."""
    stages = zip(STAGES, LAYERS, strict=True)
    return (
        *unit_rules(BODY + r"stem\.conv1", target + "body/stem"),
        *(
            rule
            for stage, layer in stages
            for rule in (
                *unit_rules(BODY + stage + r"\.(\d+)\.(conv\d)", target + rf"body/{layer}_\1/\2"),
                *unit_rules(BODY + stage + r"\.(\d+)\.shortcut", target + rf"body/{layer}_\1/shortcut"),
            )
        ),
        *layer_rules(FPN + r"(lateral|output)(\d)", target + r"\1_p\2", CONV),
    )


def flattened(channels: int) -> Layout:
    """A dense layer behind a flattened map: its inputs go by channel, row, column there, and channel last here."""

    def forward(a: np.ndarray) -> np.ndarray:
        side = int((a.shape[1] // channels) ** 0.5)
        return a.reshape(-1, channels, side, side).transpose(2, 3, 1, 0).reshape(-1, a.shape[0])

    def inverse(a: np.ndarray) -> np.ndarray:
        side = int((a.shape[0] // channels) ** 0.5)
        return a.reshape(side, side, channels, -1).transpose(3, 2, 0, 1).reshape(a.shape[1], -1)

    return Layout("dense behind a flattened map", forward, inverse)


def head_rules(target: str, channels: int) -> Rules:
    """RPN, box head and mask head."""
    rpn, box, mask = r"proposal_generator\.rpn_head\.", r"roi_heads\.box_", r"roi_heads\.mask_head\."
    return (
        *layer_rules(rpn + "conv", target + "rpn/conv", CONV),
        *layer_rules(rpn + "objectness_logits", target + "rpn/objectness", CONV),
        *layer_rules(rpn + "anchor_deltas", target + "rpn/deltas", CONV),
        *layer_rules(box + r"head\.fc1", target + "box_head/fc1", flattened(channels)),
        *layer_rules(box + r"head\.fc2", target + "box_head/fc2", DENSE),
        *layer_rules(box + r"predictor\.cls_score", target + "box_head/logits", DENSE),
        *layer_rules(box + r"predictor\.bbox_pred", target + "box_head/deltas", DENSE),
        *layer_rules(mask + r"mask_fcn(\d)", target + r"mask_head/conv\1", CONV),
        *layer_rules(mask + "deconv", target + "mask_head/double", DECONV),
        *layer_rules(mask + "predictor", target + "mask_head/masks", CONV),
        Rule(r"proposal_generator\.anchor_generator\..+", None, reason="anchors are made from their sizes"),
        Rule(r"pixel_(mean|std)", None, reason="part of the preprocessing"),
    )


def fpn_from_state_dict(state_dict: StateDict) -> tuple[ResNetFPN, dict[str, Any]]:
    """ResNet and pyramid of any size, without the heads, and their parameters.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    return FPN_MAP.convert(state_dict)


def rcnn_from_state_dict(state_dict: StateDict) -> tuple[RCNN, dict[str, Any]]:
    """Faster R-CNN, or Mask R-CNN where there is a mask head, of any size, and its parameters.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    return RCNN_MAP.convert(state_dict)


def detector_spec(shapes: Shapes, body: ResNetSpec) -> DetectorSpec:
    """Sizes of the heads.

    Raises:
        ConversionError: a name that every detector has is missing.
    """
    return DetectorSpec(
        body=body,
        channels=shape(shapes, "proposal_generator.rpn_head.conv.weight")[0],
        hidden=shape(shapes, "roi_heads.box_head.fc1.weight")[0],
        classes=shape(shapes, "roi_heads.box_predictor.cls_score.weight")[0] - 1,
        mask_channels=shapes.get("roi_heads.mask_head.deconv.weight", (0, 0))[1],
    )


def body_spec(shapes: Shapes) -> ResNetSpec:
    """Sizes of the ResNet.

    Raises:
        ConversionError: a name that every ResNet of detectron2 has is missing.
    """
    prefix = "backbone.bottom_up."
    return ResNetSpec(
        blocks=tuple(count(shapes, f"{prefix}{stage}.{{}}.conv1.weight") for stage in STAGES),
        stem=shape(shapes, prefix + "stem.conv1.weight")[0],
        mid=tuple(shape(shapes, f"{prefix}{stage}.0.conv1.weight")[0] for stage in STAGES),
        out=tuple(shape(shapes, f"{prefix}{stage}.0.conv3.weight")[0] for stage in STAGES),
        classes=0,
        stride_first=True,
    )


def expected_params(network: nn.Module, size: int = 64) -> dict[str, Any]:
    """Shapes of every parameter, heads included, as a nested dict of `jax.ShapeDtypeStruct`."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    arguments = (image, jax.ShapeDtypeStruct((1, 2), np.float32)) if isinstance(network, RCNN) else (image,)
    method = "detect" if isinstance(network, RCNN) else None
    initial = jax.eval_shape(lambda *a: network.init(jax.random.key(0), *a, method=method), *arguments)
    params: dict[str, Any] = initial["params"]
    return params


FPN_MAP = NetworkMap(
    infer=lambda shapes: ResNetFPN(body_spec(shapes), shape(shapes, "backbone.fpn_lateral2.weight")[0]),
    rules=lambda network: backbone_rules(""),
    expected=expected_params,
)
RCNN_MAP = NetworkMap(
    infer=lambda shapes: RCNN(detector_spec(shapes, body_spec(shapes))),
    rules=lambda network: (*backbone_rules("backbone/"), *head_rules("heads/", network.spec.channels)),
    expected=expected_params,
)
