"""AdaptICMH (qingshi9974/ECCV2024-AdpatICMH): SFMA adapters on TIC into an adapter of this project.

Its checkpoints hold the base codec as well, under the names that `transtic` knows. The decoder's list runs against
the data: `decoder_sfmas.2` comes first, at H/8. Its copy of TIC has the mask of shifted windows turned off, in all
transforms and h_s among them, although the base was trained with it: adapters are trained on that, so it is kept.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from icm_jax.adapters.sfma import DECODER_PLACES, ENCODER_PLACES, SfmaSpec
from icm_jax.models.tic import TIC, TICSpec
from weights_convert.keymap import CONV, ConversionError, Rule, convert
from weights_convert.transtic import tic_from_state_dict

LAYERS = r"(s_down1|s_down2|s_dw|s_up|f_down|f_dw|f_inter|f_up)"


def sfma_rules(source: str, target: str) -> tuple[Rule, ...]:
    """Rules of one SFMA: names `source` + layer (a regular expression), paths `target` + layer."""
    return (
        Rule(rf"{source}{LAYERS}\.weight", rf"{target}\1/kernel", CONV),
        Rule(rf"{source}{LAYERS}\.bias", rf"{target}\1/bias"),
    )


RULES = tuple(
    rule
    for i in range(3)
    for source, target in (
        (rf"encoder_sfmas\.{i}\.", f"g_a/{ENCODER_PLACES[i]}/"),
        (rf"decoder_sfmas\.{i}\.", f"g_s/{DECODER_PLACES[2 - i]}/"),
    )
    for rule in sfma_rules(source, target)
)


class ConvertedSfma(NamedTuple):
    """Adapters and the base they were trained on, as read from one checkpoint."""

    base: TICSpec
    base_params: dict[str, Any]
    spec: SfmaSpec
    params: dict[str, Any]


def is_sfma(name: str) -> bool:
    """Whether a parameter of the published code is one of the adapters'."""
    return "sfma" in name


def tic_sfma_from_state_dict(state_dict: Mapping[str, np.ndarray]) -> ConvertedSfma:
    """Base and adapters of an AdaptICMH checkpoint.

    Raises:
        ConversionError: the arrays are not those of a TIC with SFMAs.
    """
    arrays = {name.removeprefix("module."): array for name, array in state_dict.items()}
    base, base_params = tic_from_state_dict({k: v for k, v in arrays.items() if not is_sfma(k)})
    base = dataclasses.replace(base, shift_mask=False)
    sfmas = {name: array for name, array in arrays.items() if is_sfma(name)}
    first = sfmas.get("encoder_sfmas.0.f_inter.weight")
    if first is None:
        raise ConversionError("encoder_sfmas.0.f_inter.weight is missing: this is no checkpoint of AdaptICMH")
    spec = SfmaSpec(middle=first.shape[0])
    model = TIC(base, spec.build(base))
    image = jax.ShapeDtypeStruct((1, base.z_stride, base.z_stride, 3), np.float32)
    expected = jax.eval_shape(model.init, jax.random.key(0), image)["params"]["adapter"]
    return ConvertedSfma(base, base_params, spec, convert(sfmas, RULES, expected))
