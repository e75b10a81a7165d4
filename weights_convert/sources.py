"""Where weights come from: a literal table of every publisher whose files are read.

A row names the map of the state dict, what becomes of it, and the published files. A new publisher is a module with
a `NetworkMap` and a row here.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from icm_jax.recognizers.registry import RECOGNIZERS
from weights_convert import detectron2, edgenets, torchvision, torchvision_detection, u2net
from weights_convert.compressai import ZOO
from weights_convert.keymap import ConversionError
from weights_convert.mtlora import MTLORA
from weights_convert.network_map import NetworkMap, Shapes, StateDict, shapes_of
from weights_convert.sfma import TIC_SFMA
from weights_convert.swin import SWIN
from weights_convert.tic_original import TIC_ORIGINAL
from weights_convert.timm_eva02 import eva02_map
from weights_convert.transtic import TIC_MAP
from weights_convert.transtic_prompts import transtic_map

CODEC, ZOO_CODEC, ADAPTER = "codec", "zoo codec", "adapter"
RECOGNISER, BACKBONE = "recogniser", "backbone"
UNSTATED = "not stated beside the weights; see the repository"
LINKED = "a checkpoint"  # where files have no names of their own
TRANSTIC_RELEASE = "https://github.com/NYCU-MAPL/TransTIC/releases/tag/v1.0"
COMPRESSAI_ZOO = "https://interdigitalinc.github.io/CompressAI/zoo.html"
TIMM_HUB = "https://huggingface.co/timm/"


class Published(NamedTuple):
    """A file of weights that its authors offer.

    Attributes:
        model: what it holds; for recognition networks a key of `RECOGNIZERS`.
        licence: of code and weights, as far as their authors say.
    """

    model: str
    file: str
    url: str
    licence: str


class Source(NamedTuple):
    """A publisher's way to name and shape the arrays of one kind of network.

    Attributes:
        title: whose code wrote the files.
        makes: CODEC (a codec folder), ZOO_CODEC (one that shares its publisher's streams), ADAPTER (an adapter file
            and its base), RECOGNISER or BACKBONE (weights).
    """

    title: str
    makes: str
    map: NetworkMap[Any]
    published: tuple[Published, ...]


def _recognizers(source: str) -> tuple[Published, ...]:
    """The files that the registry of recognition networks has of a source."""
    return tuple(
        Published(name, entry.file, entry.url, entry.licence)
        for name, entry in RECOGNIZERS.items()
        if entry.source == source
    )


def _eva02(size: str, name: str) -> Published:
    return Published(size, "model.safetensors", f"{TIMM_HUB}{name}", "MIT")


SOURCES: dict[str, Source] = {
    "tic": Source(
        "TIC of NYCU-MAPL/TransTIC",
        CODEC,
        TIC_MAP,
        tuple(
            Published(f"tic-q{q}", f"base_codec_{q}.pth.tar", TRANSTIC_RELEASE, UNSTATED)
            for q in (1, 2, 3, 4)
        ),
    ),
    "tic-original": Source(
        "TIC with its context model, of lumingzzz/TIC",
        CODEC,
        TIC_ORIGINAL,
        (Published("tic-original", LINKED, "https://github.com/lumingzzz/TIC", UNSTATED),),
    ),
    **{
        name: Source(
            f"{name} of InterDigitalInc/CompressAI",
            ZOO_CODEC,
            zoo_map,
            (Published(name, LINKED, COMPRESSAI_ZOO, "code: BSD-3-Clause-Clear; weights: not stated apart"),),
        )
        for name, zoo_map in ZOO.items()
    },
    "transtic": Source(
        "TransTIC's prompts on TIC, of NYCU-MAPL/TransTIC",
        ADAPTER,
        transtic_map(),
        tuple(
            Published(f"{task}-q{q}", f"{task}_{q}.pth.tar", TRANSTIC_RELEASE, UNSTATED)
            for task in ("cls", "det", "seg")
            for q in (1, 2, 3, 4)
        ),
    ),
    "sfma": Source(
        "SFMA adapters on TIC, of qingshi9974/ECCV2024-AdpatICMH",
        ADAPTER,
        TIC_SFMA,
        (Published("sfma", LINKED, "https://github.com/qingshi9974/ECCV2024-AdpatICMH", UNSTATED),),
    ),
    "torchvision-resnet": Source(
        "ResNet of torchvision", RECOGNISER, torchvision.RESNET, _recognizers("torchvision-resnet")
    ),
    "torchvision-vgg": Source(
        "VGG of torchvision", RECOGNISER, torchvision.VGG_PLAIN, _recognizers("torchvision-vgg")
    ),
    "torchvision-mobilenet-v2": Source(
        "MobileNetV2 of torchvision",
        RECOGNISER,
        torchvision.MOBILENET_V2,
        _recognizers("torchvision-mobilenet-v2"),
    ),
    "torchvision-rcnn": Source(
        "Faster and Mask R-CNN of torchvision",
        RECOGNISER,
        torchvision_detection.rcnn_map(),
        _recognizers("torchvision-rcnn"),
    ),
    "detectron2": Source(
        "Faster and Mask R-CNN of facebookresearch/detectron2",
        RECOGNISER,
        detectron2.RCNN_MAP,
        _recognizers("detectron2"),
    ),
    "swin": Source(
        "Swin transformers of timm and of microsoft/Swin-Transformer", RECOGNISER, SWIN, _recognizers("swin")
    ),
    "mtlora": Source("MTLoRA of scale-lab/MTLoRA", RECOGNISER, MTLORA, _recognizers("mtlora")),
    "edgenets": Source(
        "ESPNetv2 of sacmehta/EdgeNets", RECOGNISER, edgenets.ESPNET_V2, _recognizers("edgenets")
    ),
    "u2net": Source("U²-Netp of xuebinqin/U-2-Net", RECOGNISER, u2net.U2NETP, _recognizers("u2net")),
    "eva02": Source(
        "EVA-02 of timm and of baaivision/EVA",
        BACKBONE,
        eva02_map(),
        (
            _eva02("eva02-tiny", "eva02_tiny_patch14_336.mim_in22k_ft_in1k"),
            _eva02("eva02-small", "eva02_small_patch14_336.mim_in22k_ft_in1k"),
            _eva02("eva02-base", "eva02_base_patch14_448.mim_in22k_ft_in22k_in1k"),
            _eva02("eva02-large", "eva02_large_patch14_448.mim_m38m_ft_in22k"),
        ),
    ),
}


def find_source(name: str) -> Source:
    """A row of the table.

    Raises:
        ConversionError: there is none of this name.
    """
    if name not in SOURCES:
        raise ConversionError(f"source {name!r} is unknown; choose one of {', '.join(SOURCES)}")
    return SOURCES[name]


def convert_from(name: str, state_dict: StateDict) -> tuple[Any, dict[str, Any]]:
    """Network and parameters of a state dict of the source `name`.

    Raises:
        ConversionError: the arrays are not those of one; names the sources that they fit, if any.
    """
    source = find_source(name)
    try:
        return source.map.convert(state_dict)
    except ConversionError as error:
        fitting = ", ".join(other for other in sources_of(shapes_of(state_dict)) if other != name)
        hint = f"; it fits source {fitting}" if fitting else "; it fits no other source either"
        raise ConversionError(f"not the weights of {source.title}: {error}{hint}") from None


def sources_of(shapes: Shapes) -> Iterator[str]:
    """Names of the sources whose networks have arrays of these names and shapes."""
    for name, source in SOURCES.items():
        try:
            source.map.check(shapes)
        except ConversionError:
            continue
        yield name
