"""Cases of the ledger: blocks of the form of EVA-02-L, and a VGG-19 of an eighth of its width."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.layers.rotary import rotary_table
from icm_jax.models.eva02 import EVA02, EVA02Spec
from icm_jax.recognizers.vgg import VGG, VGGSpec
from weights_convert.live.case import Case, Stages, captured, departure, normal
from weights_convert.live.comparison import Departure
from weights_convert.timm_eva02 import eva02_map
from weights_convert.torchvision import VGG_PLAIN

SMALL_EVA02 = EVA02Spec(width=128, depth=2, heads=2, sub_ln=True, patch=4, grid=(4, 6))
NARROW_VGG = VGGSpec(((8,) * 2, (16,) * 2, (32,) * 4, (64,) * 4, (64,) * 4))


def _eva02(spec: EVA02Spec, params: Any, inputs: Mapping[str, Array]) -> Stages:
    network = EVA02(dataclasses.replace(spec, dtype=inputs["x"].dtype.name))
    features, outputs = captured(network, params, 1, inputs["x"])
    stages = {f"block{i}": outputs[f"blocks_{i}"] for i in range(spec.depth)}
    return {**stages, "loss": jnp.mean((features.tokens - inputs["target"]) ** 2)}


def _rounded_table(spec: EVA02Spec, params: Any, inputs: Mapping[str, Array]) -> list[Departure]:
    """Of the angles themselves: what they turn moves by as much."""
    exact = rotary_table(spec.grid, spec.head_dim, dtype=np.float64)
    what = "in float64 the rotary table is float64 too; timm rounds it to float32 in any precision"
    return [departure(what, np.concatenate(exact), np.concatenate(rotary_table(spec.grid, spec.head_dim)))]


def _eva02_reference(spec: EVA02Spec) -> Callable[[], Any]:
    def reference() -> Any:
        from weights_convert.live.torch_eva02 import EVA02 as Reference

        return Reference(spec)

    return reference


def _vgg(network: VGG, params: Any, inputs: Mapping[str, Array]) -> Stages:
    taps = network.apply({"params": params}, inputs["x"])
    *_, last = taps.values()
    return {**taps, "loss": jnp.mean((last - inputs["target"]) ** 2)}


def _vgg_reference() -> Any:
    from weights_convert.live.torch_recognizers import VGG as Reference

    return Reference(NARROW_VGG)


EVA02_CASE, EVA02_FUSED_CASE = (
    Case(
        f"two blocks of the form of {form}, 128 channels, grid 4×6",
        _eva02_reference(spec),
        eva02_map(source_grid=spec.grid),
        _eva02,
        normal(x=(1, 16, 24, 3), target=(1, 25, spec.width)),
        float32_limit=2e-5,
        departures=_rounded_table,
    )
    for spec, form in (
        (SMALL_EVA02, "EVA-02-L"),
        (dataclasses.replace(SMALL_EVA02, sub_ln=False), "EVA-02-Ti, whose qkv is one layer, and so is fc1"),
    )
)
VGG_CASE = Case(
    "VGG-19 of torchvision at an eighth of its width, image 64×48",
    _vgg_reference,
    VGG_PLAIN,
    _vgg,
    normal(x=(1, 64, 48, 3), target=(1, 2, 1, NARROW_VGG.widths[-1][-1])),
)
