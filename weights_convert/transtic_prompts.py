"""Prompts of the TransTIC repository (NYCU-MAPL/TransTIC) into an adapter of this project.

A checkpoint there holds the base codec as well, under the names that `transtic` knows; every name of a trained
parameter has "prompt" in it. Strides of convolutions are not in the weights: the numbers of encoder prompts is given.
"""

import re
from collections.abc import Mapping

import numpy as np

from icm_jax.adapters.prompts import PromptSpec
from icm_jax.models.tic import TICSpec
from weights_convert.adapted import Adapted, ConvertedAdapter, adapted_map, from_state_dict
from weights_convert.keymap import CONV, DECONV, ConversionError, Rule
from weights_convert.network_map import NetworkMap, Shapes

EXTRACTOR = "params/g_a/extractor/"
NUMBER = {"g_a": (1, 2, 3, 4), "g_s": (4, 3, 2, 1)}  # of the stacks in the order of the data, from the image


def _extractor_rules() -> list[Rule]:
    """Blocks are sequences there: convolution, norm, ReLU, convolution, …"""
    rules = []
    for i in range(3):
        block = r"g_a0_prompt\.(down[123]|up[12])\."
        conv, norm = rf"{block}{3 * i}\.", rf"{block}{3 * i + 1}\."
        rules += [
            Rule(conv + "weight", rf"{EXTRACTOR}\1/conv{i}/kernel", CONV),
            Rule(conv + "bias", rf"{EXTRACTOR}\1/conv{i}/bias"),
            Rule(norm + "weight", rf"{EXTRACTOR}\1/norm{i}/scale"),
            Rule(norm + "bias", rf"{EXTRACTOR}\1/norm{i}/bias"),
            Rule(norm + "running_mean", rf"batch_stats/g_a/extractor/\1/norm{i}/mean"),
            Rule(norm + "running_var", rf"batch_stats/g_a/extractor/\1/norm{i}/var"),
            Rule(norm + "num_batches_tracked", None, reason="a counter nothing reads"),
        ]
    head = r"g_a0_prompt\.classifier\.0\."
    return [
        *rules,
        Rule(head + "weight", EXTRACTOR + "head/kernel", CONV),
        Rule(head + "bias", EXTRACTOR + "head/bias"),
    ]


def _map_rules() -> list[Rule]:
    """The map of every stack and the convolutions that make its layers' prompts."""
    rules = []
    for transform, first in (("g_a", 1), ("g_s", 0)):  # a stack follows its convolution in g_a, leads in g_s
        for i, number in enumerate(NUMBER[transform]):
            name, stack = f"{transform}{2 * i}_prompt", f"params/{transform}/stb{2 * i + first}"
            layout = DECONV if transform == "g_s" and i else CONV
            rules += [
                Rule(rf"{name}\.weight", f"params/{transform}/map{number}/kernel", layout),
                Rule(rf"{name}\.bias", f"params/{transform}/map{number}/bias"),
                Rule(rf"{name}_layers\.(\d)\.weight", rf"{stack}/layer\1/kernel", CONV),
                Rule(rf"{name}_layers\.(\d)\.bias", rf"{stack}/layer\1/bias"),
            ]
    return rules


RULES = (
    *_extractor_rules(),
    *_map_rules(),
    Rule(r"(g_[as])(\d)\.residual_group\.prompt_embeddings", r"params/\1/stb\2"),
)


def is_prompt(name: str) -> bool:
    """Whether a parameter of the published code is one of the adapter's."""
    return "prompt" in name


def transtic_from_state_dict(
    state_dict: Mapping[str, np.ndarray], encoder_prompts: int = 0
) -> ConvertedAdapter:
    """Base and prompts of a TransTIC checkpoint.

    Args:
        encoder_prompts: instance prompts of a window; 0 takes as many as the decoder has tokens, or 16.

    Raises:
        ConversionError: the arrays are not those of a TransTIC.
    """
    return from_state_dict(transtic_map(encoder_prompts), state_dict)


def transtic_map(encoder_prompts: int = 0) -> NetworkMap[Adapted]:
    """See `transtic_from_state_dict`."""

    def infer(base: TICSpec, shapes: Shapes) -> Adapted:
        return Adapted(base, infer_prompt_spec(shapes, encoder_prompts))

    return adapted_map(infer, is_prompt, RULES)


def infer_prompt_spec(shapes: Mapping[str, tuple[int, ...]], encoder_prompts: int = 0) -> PromptSpec:
    """Which prompts these parameters are. Weights of the published code were trained with its own mask.

    Raises:
        ConversionError: there are none.
    """
    if not shapes:
        raise ConversionError("no name has 'prompt' in it: this is a base codec and no TransTIC checkpoint")
    tokens = [shape[1] for name, shape in shapes.items() if name.endswith("prompt_embeddings")]
    kinds, stacks = {}, {}
    for transform, numbers in NUMBER.items():
        found = [_kind(transform, 2 * i, shapes) for i in range(4)]
        kinds[transform] = next((kind for kind in found if kind), "none")
        prompted = tuple(sorted(n for n, kind in zip(numbers, found, strict=True) if kind))
        stacks[transform] = prompted or (1, 2, 3, 4)
    width = shapes.get("g_a0_prompt.down1.0.weight", (32,))[0]
    count = tokens[0] if tokens else 16
    return PromptSpec(
        encoder=kinds["g_a"],
        decoder=kinds["g_s"],
        encoder_stacks=stacks["g_a"],
        decoder_stacks=stacks["g_s"],
        encoder_prompts=encoder_prompts or count,
        decoder_prompts=count,
        mask="reference",
        extractor_width=width,
    )


def _kind(transform: str, index: int, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What kind of prompts a stage of the reference's numbering has; empty if none."""
    stack = index + (transform == "g_a")
    if f"{transform}{stack}.residual_group.prompt_embeddings" in shapes:
        return "task"
    layers = re.compile(rf"{transform}{index}_prompt_layers\.0\.weight")
    return "instance" if any(layers.fullmatch(name) for name in shapes) else ""
