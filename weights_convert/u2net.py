"""U²-Netp of xuebinqin/U-2-Net: names, shapes, and norms folded into the convolutions before them."""

from typing import Any

import numpy as np

from icm_jax.recognizers.u2netp import U2NetP
from weights_convert.keymap import CONV, ConversionError, Rule
from weights_convert.network_map import NetworkMap, Shapes, StateDict, with_prefix, without_prefix
from weights_convert.torchvision import expected_params

NORM, EPSILON = ".bn_s1.", 1e-5
# A norm that changes nothing: what takes the place of one that was folded.
NEUTRAL = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1 - EPSILON}
UNIT = r"(stage\dd?)\.(rebnconv\w+)\.conv_s1\."

RULES = (
    Rule(UNIT + "weight", r"\1/\2/kernel", CONV),
    Rule(UNIT + "bias", r"\1/\2/bias"),
    Rule(r"(side\d|outconv)\.weight", r"\1/kernel", CONV),
    Rule(r"(side\d|outconv)\.bias", r"\1/bias"),
    Rule(r".+\.num_batches_tracked", None, reason="a counter of training"),
)


def u2netp_from_state_dict(state_dict: StateDict) -> tuple[U2NetP, dict[str, Any]]:
    """U²-Netp and its parameters, from the published file with norms or from one without.

    Raises:
        ConversionError: the arrays are not those of U²-Netp.
    """
    return U2NETP.convert(state_dict)


def fold_norms(state_dict: StateDict) -> dict[str, np.ndarray]:
    """The same network without `bn_s1` entries: each becomes part of the `conv_s1` beside it.

    Raises:
        ConversionError: a norm has no convolution, or one of its arrays is missing.
    """
    state_dict = without_prefix(state_dict)
    arrays = {name: array for name, array in state_dict.items() if NORM not in name}
    for stem in {name.partition(NORM)[0] for name in state_dict if NORM in name}:
        kernel, bias = f"{stem}.conv_s1.weight", f"{stem}.conv_s1.bias"
        try:
            scale, shift, mean, var = (
                state_dict[f"{stem}{NORM}{part}"]
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            factor = scale / np.sqrt(var + EPSILON)
            arrays[kernel] = state_dict[kernel] * factor[:, None, None, None]
            arrays[bias] = (state_dict[bias] - mean) * factor + shift
        except KeyError as error:
            raise ConversionError(
                f"{error.args[0]} is missing: the norm {stem}{NORM[:-1]} is not whole"
            ) from None
    return arrays


def with_neutral_norms(arrays: StateDict, published: Shapes) -> dict[str, np.ndarray]:
    """The same network under the published names: its norms stay folded, and those it was published with do nothing."""
    neutral = {
        name: np.full(published[name], NEUTRAL[part], np.float32)
        for name in published
        if NORM in name and (part := name.rpartition(".")[2]) in NEUTRAL
    }
    return with_prefix(arrays, published) | neutral


U2NETP = NetworkMap(
    infer=lambda shapes: U2NetP(),
    rules=lambda network: RULES,
    expected=expected_params,
    prepare=fold_norms,
    restore=with_neutral_norms,
)
