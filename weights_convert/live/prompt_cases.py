"""A case of the ledger: Swin stacks with TransTIC's instance prompts and task prompts."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.layers.conv import conv2d
from icm_jax.layers.prompts import StackPrompts
from icm_jax.layers.swin import SwinStack
from weights_convert.live.case import Case, Stages, captured, departure, normal
from weights_convert.live.comparison import Departure
from weights_convert.network_map import NetworkMap
from weights_convert.transtic import RULES as TIC_RULES
from weights_convert.transtic_prompts import RULES as PROMPT_RULES

WIDTH, DEPTH, HEADS, WINDOW, TOKENS = 32, 2, 4, 8, 16
MAP = (1, 24, 16, WIDTH)


def _forward(
    network: SwinStack, params: Any, inputs: Mapping[str, Array], reference_mask: bool = True
) -> Stages:
    own = params["params"]
    layers = [own["g_a"]["stb1"][f"layer{i}"] for i in range(DEPTH)]
    maps = [conv2d(inputs["prompts"], layer["kernel"], 2) + layer["bias"] for layer in layers]
    tokens = [embedding[None] for embedding in own["g_s"]["stb4"]]
    stacks = (
        ("encoder", params["g_a"]["stb1"], StackPrompts(tuple(maps), reference_mask)),
        ("decoder", params["g_s"]["stb4"], StackPrompts(tuple(tokens))),
    )
    stages: Stages = {}
    x = inputs["x"]
    for name, base, prompts in stacks:
        x, outputs = captured(network, base, 1, x, False, prompts)
        stages |= {f"{name}{i}": outputs[f"layer{i}"] for i in range(DEPTH)} | {name: x}
    return {**stages, "loss": jnp.mean((x - inputs["target"]) ** 2)}


def _aligned_mask(network: SwinStack, params: Any, inputs: Mapping[str, Array]) -> list[Departure]:
    what = (
        "the shift mask hides a prompt where the features above it are hidden; the published code lays it over the "
        "keys in another order (output of the encoder's stack)"
    )
    ours, published = (_forward(network, params, inputs, reference)["encoder"] for reference in (False, True))
    return [departure(what, ours, published)]


def _shapes(network: SwinStack) -> Any:
    base = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct(MAP, np.float32))["params"]
    convs = {f"layer{i}": {"kernel": (3, 3, WIDTH, WIDTH), "bias": (WIDTH,)} for i in range(DEPTH)}
    prompts = {"g_a": {"stb1": convs}, "g_s": {"stb4": (DEPTH, TOKENS, WIDTH)}}
    return {"g_a": {"stb1": base}, "g_s": {"stb4": base}, "params": prompts}


def _reference() -> Any:
    from weights_convert.live.torch_prompts import PromptedStacks

    return PromptedStacks(WIDTH, DEPTH, HEADS, WINDOW, TOKENS)


TRANSTIC_CASE = Case(
    "two Swin stacks of TIC, 32 channels: 16 instance prompts a window by the published mask, then 16 task prompts",
    _reference,
    NetworkMap(
        lambda shapes: SwinStack(WIDTH, HEADS, WINDOW, WINDOW // 2, 2, (0.0,) * DEPTH),
        lambda network: (*TIC_RULES, *PROMPT_RULES),
        _shapes,
    ),
    _forward,
    normal(x=MAP, prompts=MAP, target=MAP),
    departures=_aligned_mask,
)
