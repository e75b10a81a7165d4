"""AdaptICMH (qingshi9974/ECCV2024-AdpatICMH): SFMA adapters on TIC into an adapter of this project.

Its checkpoints hold the base codec as well, under the names that `transtic` knows. The decoder's list runs against
the data: `decoder_sfmas.2` comes first, at H/8. Its copy of TIC has the mask of shifted windows turned off, in all
transforms and h_s among them, although the base was trained with it: adapters are trained on that, so it is kept.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array

from icm_jax.adapters.sfma import DECODER_PLACES, ENCODER_PLACES, Change, SfmaSpec
from icm_jax.models.tic import TICSpec
from weights_convert.adapted import Adapted, ConvertedAdapter, adapted_map, from_state_dict
from weights_convert.keymap import CONV, ConversionError, Rule, beneath
from weights_convert.network_map import Shapes, StateDict

LAYERS = r"(s_down1|s_down2|s_dw|s_up|f_down|f_dw|f_inter|f_up)"


def sfma_rules(source: str, target: str) -> tuple[Rule, ...]:
    """Rules of one SFMA: names `source` + layer (a regular expression), paths `target` + layer."""
    return (
        Rule(rf"{source}{LAYERS}\.weight", rf"{target}\1/kernel", CONV),
        Rule(rf"{source}{LAYERS}\.bias", rf"{target}\1/bias"),
    )


def branches(change: Change, params: Mapping[str, Any]) -> dict[str, Array]:
    """What each branch of an SFMA adds by itself, as the published code has it; ours ends both in one product."""
    halves = zip(("s_up", "f_up"), jnp.split(change.hidden, 2, axis=-1), strict=True)
    return {
        name: Change(half, params[name]["kernel"][0, 0], params[name]["bias"]).features()
        for name, half in halves
    }


RULES = tuple(
    rule
    for i in range(3)
    for source, target in (
        (rf"encoder_sfmas\.{i}\.", f"g_a/{ENCODER_PLACES[i]}/"),
        (rf"decoder_sfmas\.{i}\.", f"g_s/{DECODER_PLACES[2 - i]}/"),
    )
    for rule in sfma_rules(source, target)
)


def is_sfma(name: str) -> bool:
    """Whether a parameter of the published code is one of the adapters'."""
    return "sfma" in name


def tic_sfma_from_state_dict(state_dict: StateDict) -> ConvertedAdapter:
    """Base and adapters of an AdaptICMH checkpoint.

    Raises:
        ConversionError: the arrays are not those of a TIC with SFMAs.
    """
    return from_state_dict(TIC_SFMA, state_dict)


def _infer(base: TICSpec, shapes: Shapes) -> Adapted:
    first = shapes.get("encoder_sfmas.0.f_inter.weight")
    if first is None:
        raise ConversionError("encoder_sfmas.0.f_inter.weight is missing: this is no checkpoint of AdaptICMH")
    return Adapted(dataclasses.replace(base, shift_mask=False), SfmaSpec(middle=first[0]))


TIC_SFMA = adapted_map(_infer, is_sfma, beneath("params/", RULES))
