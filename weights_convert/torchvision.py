"""Networks of torchvision: names and shapes of their state dicts (v0.28; the old names of detectors too)."""

import re
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from icm_jax.recognizers.mobilenet_v2 import MobileNetV2
from icm_jax.recognizers.resnet import LAYERS, ResNet, ResNetSpec
from icm_jax.recognizers.vgg import VGG, VGGSpec
from weights_convert.keymap import CONV, DENSE, ConversionError, Rule
from weights_convert.network_map import NetworkMap, Shapes, StateDict

NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def norm_rules(pattern: str, target: str) -> tuple[Rule, ...]:
    """The rules of one kind of batch norm, whose names begin with `pattern`."""
    counter = Rule(pattern + r"\.num_batches_tracked", None, reason="a counter of training")
    return (*(Rule(rf"{pattern}\.{theirs}", f"{target}/{ours}") for theirs, ours in NORM.items()), counter)


def body_rules(prefix: str, target: str) -> tuple[Rule, ...]:
    """The rules of a ResNet without classifier, whose names begin with `prefix`."""
    block, ours = prefix + r"(layer\d)\.(\d+)\.", target + r"\1_\2/"
    return (
        Rule(prefix + r"conv1\.weight", target + "stem/conv/kernel", CONV),
        *norm_rules(prefix + "bn1", target + "stem/norm"),
        Rule(block + r"conv(\d)\.weight", ours + r"conv\3/conv/kernel", CONV),
        *norm_rules(block + r"bn(\d)", ours + r"conv\3/norm"),
        Rule(block + r"downsample\.0\.weight", ours + "shortcut/conv/kernel", CONV),
        *norm_rules(block + r"downsample\.1", ours + "shortcut/norm"),
    )


RESNET_RULES = (
    *body_rules("", ""),
    Rule(r"fc\.weight", "classifier/kernel", DENSE),
    Rule(r"fc\.bias", "classifier/bias"),
)

FIRST, BLOCK = r"features\.1\.conv\.", r"features\.(\d+)\.conv\."
MOBILENET_V2_RULES = (
    Rule(r"features\.0\.0\.weight", "stem/conv/kernel", CONV),
    *norm_rules(r"features\.0\.1", "stem/norm"),
    # The first block does not expand, so its convolutions are counted from another one on.
    Rule(FIRST + r"0\.0\.weight", "block1/depthwise/conv/kernel", CONV),
    *norm_rules(FIRST + r"0\.1", "block1/depthwise/norm"),
    Rule(FIRST + r"1\.weight", "block1/project/conv/kernel", CONV),
    *norm_rules(FIRST + "2", "block1/project/norm"),
    Rule(BLOCK + r"0\.0\.weight", r"block\1/expand/conv/kernel", CONV),
    *norm_rules(BLOCK + r"0\.1", r"block\1/expand/norm"),
    Rule(BLOCK + r"1\.0\.weight", r"block\1/depthwise/conv/kernel", CONV),
    *norm_rules(BLOCK + r"1\.1", r"block\1/depthwise/norm"),
    Rule(BLOCK + r"2\.weight", r"block\1/project/conv/kernel", CONV),
    *norm_rules(BLOCK + "3", r"block\1/project/norm"),
    Rule(r"features\.\d+\.0\.weight", "head/conv/kernel", CONV),
    *norm_rules(r"features\.\d+\.1", "head/norm"),
    Rule(r"classifier\.1\.weight", "classifier/kernel", DENSE),
    Rule(r"classifier\.1\.bias", "classifier/bias"),
)


def resnet_from_state_dict(state_dict: StateDict) -> tuple[ResNet, dict[str, Any]]:
    """A ResNet with bottlenecks, of any widths and depths, and its parameters.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    return RESNET.convert(state_dict)


def vgg_from_state_dict(state_dict: StateDict) -> tuple[VGG, dict[str, Any]]:
    """The convolutions of a VGG without batch norms, such as VGG-19, and their parameters.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    return VGG_PLAIN.convert(state_dict)


def mobilenet_v2_from_state_dict(state_dict: StateDict) -> tuple[MobileNetV2, dict[str, Any]]:
    """MobileNetV2 of width 1.0 with any number of classes, and its parameters.

    Raises:
        ConversionError: the arrays are not those of one.
    """
    return MOBILENET_V2.convert(state_dict)


def resnet_spec(shapes: Shapes, prefix: str = "") -> ResNetSpec:
    """The ResNet that has these shapes, with a classifier if it has an `fc`.

    Raises:
        ConversionError: a name that every ResNet with bottlenecks has is missing.
    """
    first = [shape(shapes, f"{prefix}{layer}.0.conv1.weight")[0] for layer in LAYERS]
    last = [shape(shapes, f"{prefix}{layer}.0.conv3.weight")[0] for layer in LAYERS]
    return ResNetSpec(
        blocks=tuple(count(shapes, f"{prefix}{layer}.{{}}.conv1.weight") for layer in LAYERS),
        stem=shape(shapes, prefix + "conv1.weight")[0],
        mid=tuple(first),
        out=tuple(last),
        classes=shapes.get(prefix + "fc.weight", (0,))[0],
    )


def vgg_spec(shapes: Shapes) -> VGGSpec:
    """The VGG whose convolutions have these shapes.

    Raises:
        ConversionError: there are none.
    """
    indexes = sorted(
        int(match[1]) for name in shapes if (match := re.fullmatch(r"features\.(\d+)\.weight", name))
    )
    shape(shapes, "features.0.weight")
    # A convolution and its ReLU take two numbers, a pool between blocks one more.
    blocks: list[tuple[int, ...]] = []
    for previous, index in zip([-3, *indexes], indexes, strict=False):
        width = shapes[f"features.{index}.weight"][0]
        if not blocks or index - previous == 3:
            blocks.append((width,))
        else:
            blocks[-1] += (width,)
    return VGGSpec(tuple(blocks))


def vgg_rules(network: VGG) -> list[Rule]:
    """The key map: every convolution by its place in the sequence."""
    rules = [
        rule
        for index, (name, _) in enumerate(network.spec.layers())
        for rule in (
            Rule(rf"features\.{index}\.weight", f"{name}/kernel", CONV),
            Rule(rf"features\.{index}\.bias", f"{name}/bias"),
        )
    ]
    unused = "its taps are convolutions; it classifies nothing here"
    return [*rules, Rule(r"classifier\..+", None, reason=unused)]


def shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    """The shape of an array that must be there.

    Raises:
        ConversionError: it is not.
    """
    if name not in shapes:
        raise ConversionError(
            f"{name} is missing: the file holds another network ({len(shapes)} arrays, "
            f"the first is {next(iter(shapes), 'none')})"
        )
    return shapes[name]


def count(shapes: Shapes, name: str) -> int:
    """How many of `name` with 0, 1, 2 … in its braces there are in a row."""
    index = 0
    while name.format(index) in shapes:
        index += 1
    return index


def expected_params(network: nn.Module, size: int = 64) -> dict[str, Any]:
    """Shapes of every parameter, as a nested dict of `jax.ShapeDtypeStruct`."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
    variables: dict[str, Any] = jax.eval_shape(network.init, jax.random.key(0), image)["params"]
    return variables


RESNET = NetworkMap(
    infer=lambda shapes: ResNet(resnet_spec(shapes)),
    rules=lambda network: RESNET_RULES,
    expected=expected_params,
)
VGG_PLAIN = NetworkMap(infer=lambda shapes: VGG(vgg_spec(shapes)), rules=vgg_rules, expected=expected_params)
MOBILENET_V2 = NetworkMap(
    infer=lambda shapes: MobileNetV2(shape(shapes, "classifier.1.weight")[0]),
    rules=lambda network: MOBILENET_V2_RULES,
    expected=expected_params,
)
