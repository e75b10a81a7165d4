"""Cases of the ledger: blocks of the form of EVA-02-L, and a VGG-19 of an eighth of its width."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from icm_jax.layers.rotary import rotary_table
from icm_jax.models.eva02 import EVA02, Block, EVA02Spec, with_class_token
from icm_jax.recognizers.vgg import VGG, VGGSpec
from weights_convert.live.case import Case, Stages, normal
from weights_convert.timm_eva02 import eva02_map
from weights_convert.torchvision import VGG_PLAIN

SMALL_EVA02 = EVA02Spec(width=128, depth=2, heads=2, sub_ln=True, patch=4, grid=(4, 6))
NARROW_VGG = VGGSpec(((8,) * 2, (16,) * 2, (32,) * 4, (64,) * 4, (64,) * 4))


def _eva02(spec: EVA02Spec, params: Any, inputs: Mapping[str, Array]) -> Stages:
    """Block by block: the whole network casts its tokens to the precision it is asked for, float32 at most."""
    tokens = EVA02(spec).apply({"params": params}, inputs["x"], method="embed")
    table, stages = with_class_token(rotary_table(spec.grid, spec.head_dim)), {}
    for i in range(spec.depth):
        block = Block(spec.heads, spec.sub_ln)
        tokens, _ = block.apply({"params": params[f"blocks_{i}"]}, tokens, table, i + 1, None)
        stages[f"block{i}"] = tokens
    return {**stages, "loss": jnp.mean((tokens - inputs["target"]) ** 2)}


def _eva02_reference() -> Any:
    from weights_convert.live.torch_eva02 import EVA02 as Reference

    return Reference(SMALL_EVA02)


def _vgg(network: VGG, params: Any, inputs: Mapping[str, Array]) -> Stages:
    taps = network.apply({"params": params}, inputs["x"])
    *_, last = taps.values()
    return {**taps, "loss": jnp.mean((last - inputs["target"]) ** 2)}


def _vgg_reference() -> Any:
    from weights_convert.live.torch_recognizers import VGG as Reference

    return Reference(NARROW_VGG)


EVA02_CASE = Case(
    "two blocks of the form of EVA-02-L, 128 channels, grid 4×6; the rotary table is float32 in any precision",
    _eva02_reference,
    eva02_map(source_grid=SMALL_EVA02.grid),
    _eva02,
    normal(x=(1, 16, 24, 3), target=(1, 25, SMALL_EVA02.width)),
    float64_limit=1e-8,
)
VGG_CASE = Case(
    "VGG-19 of torchvision at an eighth of its width, image 64×48",
    _vgg_reference,
    VGG_PLAIN,
    _vgg,
    normal(x=(1, 64, 48, 3), target=(1, 2, 1, NARROW_VGG.widths[-1][-1])),
)
