"""Which converter reads whose weights: a literal table."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax import linen as nn

from weights_convert.detectron2 import rcnn_from_state_dict as detectron2_rcnn
from weights_convert.edgenets import espnet_v2_from_state_dict
from weights_convert.torchvision import (
    mobilenet_v2_from_state_dict,
    resnet_from_state_dict,
    vgg_from_state_dict,
)
from weights_convert.torchvision_detection import rcnn_from_state_dict as torchvision_rcnn
from weights_convert.u2net import u2netp_from_state_dict

Converter = Callable[[Mapping[str, np.ndarray]], tuple[nn.Module, dict[str, Any]]]

CONVERTERS: dict[str, Converter] = {
    "torchvision-resnet": resnet_from_state_dict,
    "torchvision-vgg": vgg_from_state_dict,
    "torchvision-mobilenet-v2": mobilenet_v2_from_state_dict,
    "torchvision-rcnn": torchvision_rcnn,
    "detectron2": detectron2_rcnn,
    "edgenets": espnet_v2_from_state_dict,
    "u2net": u2netp_from_state_dict,
}
