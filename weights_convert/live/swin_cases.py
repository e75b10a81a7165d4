"""Cases of the ledger: a Swin transformer whose windows all reach over an edge, and MTLoRA."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from icm_jax.recognizers.mtlora import MTLoRA, MTLoRASpec
from icm_jax.recognizers.swin import Swin, SwinSpec
from weights_convert.live.case import Case, Stages, normal, scored
from weights_convert.mtlora import MTLORA
from weights_convert.swin import SWIN

# Maps of 28×22, 14×11, 7×6 and 4×3 tokens, none of them whole windows.
SMALL_SWIN = SwinSpec(width=24, depths=(2, 2, 2, 2), heads=(2, 4, 8, 16), windows=(5, 4, 3, 2), classes=10)
SMALL_MTLORA = MTLoRASpec(
    tasks=("normals", "semseg"),
    outputs=(3, 5),
    swin=SwinSpec(width=16, depths=(2, 2), heads=(2, 4), windows=(5, 3), norm=False, classes=0),
    shared_rank=4,
    task_ranks=(2, 3),
    channels=(6, 12),
    hidden=40,
)


def _swin(network: Swin, params: Any, inputs: Mapping[str, Array]) -> Stages:
    taps = network.apply({"params": params}, inputs["x"])
    shown = {name: tap for name, tap in taps.items() if name.startswith(("patch", "layer"))}
    return scored(shown, taps["logits"], inputs)


def _swin_reference() -> Any:
    from weights_convert.live.torch_swin_transformer import SwinTransformer

    return SwinTransformer(SMALL_SWIN)


def _mtlora(network: MTLoRA, params: Any, inputs: Mapping[str, Array]) -> Stages:
    taps = network.apply({"params": params}, inputs["x"])
    losses = [jnp.mean((taps[task] - inputs[task]) ** 2) for task in network.spec.tasks]
    return {**taps, "loss": jnp.stack(losses).sum()}


def _mtlora_reference() -> Any:
    from weights_convert.live.torch_mtlora import MTLoRA as Reference

    return Reference(SMALL_MTLORA)


SWIN_T_CASE = Case(
    "a Swin transformer of Swin-T's form, 24 channels, two blocks a stage, windows of 5, 4, 3, 2; image 112×88",
    _swin_reference,
    SWIN,
    _swin,
    normal(x=(1, 112, 88, 3), target=(1, 10)),
)
MTLORA_CASE = Case(
    "MTLoRA on a Swin of two stages of 16 channels, two tasks of ranks 2 and 3 beside 4 for both; image 64×64",
    _mtlora_reference,
    MTLORA,
    _mtlora,
    normal(x=(1, 64, 64, 3), normals=(1, 64, 64, 3), semseg=(1, 64, 64, 5)),
)
