"""Names and shapes of whole networks as timm and torchvision make them: each fits the one source that reads it."""

import importlib.util
import warnings
from typing import Any

import pytest

from icm_jax.models.eva02 import SIZES
from weights_convert.sources import SOURCES, sources_of

pytestmark = pytest.mark.parity

EVA02 = {
    "eva02_tiny_patch14_336": "tiny",
    "eva02_small_patch14_336": "small",
    "eva02_base_patch14_448": "base",
    "eva02_large_patch14_448": "large",
}
TORCHVISION = {
    "resnet50": "torchvision-resnet",
    "vgg19": "torchvision-vgg",
    "mobilenet_v2": "torchvision-mobilenet-v2",
    "detection.fasterrcnn_resnet50_fpn": "torchvision-rcnn",
    "detection.maskrcnn_resnet50_fpn": "torchvision-rcnn",
}


def library(name: str) -> Any:
    """A library of PyTorch; skips where it is not installed."""
    pytest.importorskip("torch")
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    from weights_convert.live.torch_libraries import declare_operators

    declare_operators()
    with warnings.catch_warnings(action="ignore"):
        return importlib.import_module(name)


def shapes_on_paper(make: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network that takes no memory."""
    import torch

    with torch.device("meta"):
        network = make()
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", EVA02)
def test_eva02_of_timm(name: str):
    timm = library("timm")
    shapes = shapes_on_paper(lambda: timm.create_model(name))
    assert list(sources_of(shapes)) == ["eva02"]
    found, size = SOURCES["eva02"].map.network(shapes), SIZES[EVA02[name]]
    assert (found.width, found.depth, found.heads, found.sub_ln, found.patch) == (
        size.width,
        size.depth,
        size.heads,
        size.sub_ln,
        14,
    )


def test_swin_t_of_timm():
    timm = library("timm")
    shapes = shapes_on_paper(lambda: timm.create_model("swin_tiny_patch4_window7_224"))
    assert list(sources_of(shapes)) == ["swin"]


@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision(name: str):
    models = library("torchvision").models
    make: Any = models
    for part in name.split("."):
        make = getattr(make, part)
    options = {"weights": None, "weights_backbone": None} if "rcnn" in name else {"weights": None}
    shapes = shapes_on_paper(lambda: make(**options))
    assert list(sources_of(shapes)) == [TORCHVISION[name]]
