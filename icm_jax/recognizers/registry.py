"""The recognition networks by name: a literal table, and the loading of their published weights."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.numpy
from flax import linen as nn

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.recognizers import espnet_v2, mobilenet_v2, mtlora, resnet, swin, u2netp, vgg
from icm_jax.recognizers.detection.inference import PREPROCESSING_DETECTRON2, PREPROCESSING_TORCHVISION
from icm_jax.recognizers.detection.rcnn import RCNN
from icm_jax.recognizers.detection.spec import RESNET50_TORCHVISION, TORCHVISION, DetectorSpec
from icm_jax.recognizers.fpn import PYRAMID
from icm_jax.recognizers.preprocessing import Preprocessing
from icm_jax.recognizers.random_weights import random_params
from icm_jax.recognizers.recognizer import Recognizer

WEIGHTS_VARIABLE = "ICM_WEIGHTS"
DRAWN_AT = 64  # pixels a side of the picture that shapes of random weights are found with
TORCH_HOME = "https://download.pytorch.org/models/"
DETECTRON2_HOME = "https://dl.fbaipublicfiles.com/detectron2/"
TORCHVISION_CODE = "BSD-3-Clause code, weights trained on ImageNet"
TORCHVISION_COCO = "BSD-3-Clause code, weights trained on COCO"
DETECTRON2_MODELS = "Apache-2.0 code; models of the zoo CC BY-SA 3.0"


class Entry(NamedTuple):
    """A network that is published with weights.

    Attributes:
        network: the published architecture. A file of other widths, depths or classes gives a network of those.
        preprocessing: its input rule.
        taps: outputs that a loss on features compares.
        output: name of the answer among the outputs, or "detections".
        source: what wrote the weights: a key of `weights_convert.sources.SOURCES`.
        file: the published file.
        url: where it is.
        licence: of code and weights, as far as their authors say.
    """

    network: nn.Module
    preprocessing: Preprocessing
    taps: tuple[str, ...]
    output: str
    source: str
    file: str
    url: str
    licence: str


RECOGNIZERS: dict[str, Entry] = {
    "resnet50": Entry(
        resnet.ResNet(),
        resnet.PREPROCESSING,
        resnet.LAYERS,
        "logits",
        "torchvision-resnet",
        "resnet50-0676ba61.pth",
        TORCH_HOME,
        TORCHVISION_CODE,
    ),
    "resnet50-v2": Entry(
        resnet.ResNet(),
        resnet.PREPROCESSING_V2,
        resnet.LAYERS,
        "logits",
        "torchvision-resnet",
        "resnet50-11ad3fa6.pth",
        TORCH_HOME,
        TORCHVISION_CODE,
    ),
    "vgg19": Entry(
        vgg.VGG(),
        vgg.PREPROCESSING,
        ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),
        "pool5",
        "torchvision-vgg",
        "vgg19-dcbb9e9d.pth",
        TORCH_HOME,
        TORCHVISION_CODE,
    ),
    "mobilenet-v2": Entry(
        mobilenet_v2.MobileNetV2(),
        mobilenet_v2.PREPROCESSING,
        ("features.1", "features.3", "features.6", "features.13", "features.18"),
        "logits",
        "torchvision-mobilenet-v2",
        "mobilenet_v2-b0353104.pth",
        TORCH_HOME,
        TORCHVISION_CODE,
    ),
    "swin-t": Entry(
        swin.Swin(),
        swin.PREPROCESSING,
        ("layer0", "layer1", "layer2", "layer3"),
        "logits",
        "swin",
        "swin_tiny_patch4_window7_224.pth",
        "https://github.com/SwinTransformer/storage/releases/tag/v1.0.0",
        "MIT code, weights trained on ImageNet",
    ),
    "espnet-v2": Entry(
        espnet_v2.ESPNetV2(),
        espnet_v2.PREPROCESSING,
        ("level1", "level2_0", "level3.2", "level4.6"),
        "logits",
        "edgenets",
        "espnetv2_s_2.0_pascal_384x384.pth",
        "https://github.com/sacmehta/EdgeNets/tree/master/model/segmentation/model_zoo/espnetv2",
        "MIT",
    ),
    "u2netp": Entry(
        u2netp.U2NetP(),
        u2netp.PREPROCESSING,
        ("stage1", "stage2", "stage3", "stage4", "stage5", "stage6"),
        "saliency",
        "u2net",
        "u2netp.pth",
        "https://github.com/xuebinqin/U-2-Net",
        "Apache-2.0",
    ),
    "mtlora": Entry(
        mtlora.MTLoRA(mtlora.MTLoRASpec(size_mode="resize448")),
        mtlora.PREPROCESSING,
        ("stage0", "stage1", "stage2", "stage3"),
        "semseg",
        "mtlora",
        "mtlora_tiny_448_r64_scale4_pertask.pth",
        "https://github.com/scale-lab/MTLoRA",
        "MIT code, trained on PASCAL-Context",
    ),
    "faster-rcnn": Entry(
        RCNN(),
        PREPROCESSING_DETECTRON2,
        PYRAMID,
        "detections",
        "detectron2",
        "model_final_280758.pkl",
        DETECTRON2_HOME + "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/",
        DETECTRON2_MODELS,
    ),
    "mask-rcnn": Entry(
        RCNN(DetectorSpec(mask_channels=256)),
        PREPROCESSING_DETECTRON2,
        PYRAMID,
        "detections",
        "detectron2",
        "model_final_f10217.pkl",
        DETECTRON2_HOME + "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/",
        DETECTRON2_MODELS,
    ),
    "faster-rcnn-torchvision": Entry(
        RCNN(DetectorSpec(RESNET50_TORCHVISION, TORCHVISION, classes=90)),
        PREPROCESSING_TORCHVISION,
        PYRAMID,
        "detections",
        "torchvision-rcnn",
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        TORCH_HOME,
        TORCHVISION_COCO,
    ),
    "mask-rcnn-torchvision": Entry(
        RCNN(DetectorSpec(RESNET50_TORCHVISION, TORCHVISION, classes=90, mask_channels=256)),
        PREPROCESSING_TORCHVISION,
        PYRAMID,
        "detections",
        "torchvision-rcnn",
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        TORCH_HOME,
        TORCHVISION_COCO,
    ),
}


def load_recognizer(name: str, path: str | Path | None = None) -> Recognizer:
    """A network with its published weights.

    Args:
        name: a key of `RECOGNIZERS`.
        path: the published file (or the same arrays in a `.safetensors` of its name), a folder that `icm convert`
            wrote, or a folder that holds either. By default the folder `$ICM_WEIGHTS`, or `~/.cache/icm-jax/weights`.

    Raises:
        IcmError: an unknown name; no such file, with what to place where; a file that is not of this network.
    """
    from weights_convert import converted, sources  # only here do the networks need the key maps
    from weights_convert.state_dict import read_state_dict

    if name not in RECOGNIZERS:
        raise IcmError(f"recogniser {name!r} is unknown; choose one of {', '.join(RECOGNIZERS)}")
    file = find_weights(name, path)
    if not converted.is_converted(file):
        return with_params(name, *sources.convert_from(RECOGNIZERS[name].source, read_state_dict(file)))
    found = converted.read(file)
    if found.manifest["model"] != name:
        raise IcmError(f"{file.parent} holds {found.manifest['model']}, not {name}; load it by that name")
    return with_params(name, found.network, found.params)


def frozen_network(name: str, weights: str, size: int = DRAWN_AT) -> Recognizer:
    """A network with its published weights as `load_recognizer` finds them, or with random ones.

    Args:
        weights: a file or folder; "" looks where `ICM_WEIGHTS` says; "random" draws them.
        size: pixels a side of the picture that shapes of random weights are found with.

    Raises:
        IcmError: an unknown name, or the file is not there.
    """
    if weights != "random":
        return load_recognizer(name, weights or None)
    if name not in RECOGNIZERS:
        raise IcmError(f"recogniser {name!r} is unknown; choose one of {', '.join(RECOGNIZERS)}")
    network = RECOGNIZERS[name].network
    return with_params(name, network, random_params(network, size))


def save_weights(
    name: str, network: nn.Module, params: Any, file: Path, facts: Mapping[str, Any] | None = None
) -> None:
    """Writes a network that was trained here under its publisher's names, for `load_recognizer` and his own programs.

    Args:
        facts: what is said of the training, in the header of the file.

    Raises:
        IcmError: a network of a publisher whose names are known from his files alone.
    """
    from weights_convert.sources import find_source

    arrays = find_source(RECOGNIZERS[name].source).map.publish(network, params)
    header = {"format": "pt", "training": json.dumps(dict(facts or {}), default=str)}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, safetensors.numpy.save(arrays, header))


def with_params(name: str, network: nn.Module, params: Any) -> Recognizer:
    """A network of the kind `name`, with any weights."""
    entry = RECOGNIZERS[name]
    return Recognizer(
        params=params,
        name=name,
        network=network,
        preprocessing=entry.preprocessing,
        taps=entry.taps,
        output=entry.output,
    )


def weights_folder() -> Path:
    """Where published files are kept: `$ICM_WEIGHTS`, or `~/.cache/icm-jax/weights`."""
    return Path(os.environ.get(WEIGHTS_VARIABLE) or Path.home() / ".cache" / "icm-jax" / "weights")


def find_weights(name: str, path: str | Path | None = None) -> Path:
    """The file of weights of a network; see `load_recognizer`.

    Raises:
        IcmError: it is not there.
    """
    from weights_convert.converted import WEIGHTS, is_converted

    entry = RECOGNIZERS[name]
    if path is None:
        path = weights_folder()
    path = Path(path)
    if folder := next(
        (place for place in (path, path / name) if place.is_dir() and is_converted(place)), None
    ):
        return folder / WEIGHTS
    file = path / entry.file if path.is_dir() or not path.suffix else path
    if not file.is_file() and file.with_suffix(".safetensors").is_file():
        return file.with_suffix(".safetensors")  # the same arrays, to be read without PyTorch
    if not file.is_file():
        raise IcmError(
            f"{name}: no weights at {file}; place {entry.file} of {entry.url} in {file.parent}, or give its path"
        )
    return file
