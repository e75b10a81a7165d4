"""The original TIC (DCC 2022) with its context model: names and shapes of its state dict.

Source of the names: lumingzzz/TIC; stacks and the factorised prior are spelled as in TransTIC.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from icm_jax.models.tic_original import TICOriginal, TICOriginalSpec
from weights_convert import transtic
from weights_convert.keymap import CONV, DENSE, ConversionError, Layout, Rule
from weights_convert.network_map import NetworkMap
from weights_convert.transtic import common, stack_depth, window_of_table

# A 1×1 convolution there, a dense layer here: (out, in, 1, 1) -> (in, out).
POINTWISE = Layout(
    "1×1 convolution", lambda a: a[:, :, 0, 0].transpose(1, 0), lambda a: a.transpose(1, 0)[..., None, None]
)

RULES = (
    # h_s ends in a convolution here, which TransTIC's rule for h_s would take for a transposed one.
    Rule(r"h_s4\.weight", r"h_s/conv4/kernel", CONV),
    Rule(r"h_s4\.bias", r"h_s/conv4/bias"),
    Rule(r"context_prediction\.(norm[12])\.weight", r"context/\1/scale"),
    Rule(r"context_prediction\.(norm[12])\.bias", r"context/\1/bias"),
    Rule(r"context_prediction\.relative_position_bias_table", r"context/relative_position_bias"),
    Rule(r"context_prediction\.relative_position_index", None, reason="derived from the window"),
    Rule(r"context_prediction\.(qkv|proj)\.weight", r"context/\1/kernel", DENSE),
    Rule(r"context_prediction\.(qkv|proj)\.bias", r"context/\1/bias"),
    Rule(r"context_prediction\.mlp\.(fc[12])\.weight", r"context/mlp/\1/kernel", DENSE),
    Rule(r"context_prediction\.mlp\.(fc[12])\.bias", r"context/mlp/\1/bias"),
    Rule(r"entropy_parameters\.([024])\.weight", r"entropy_parameters/dense\1/kernel", POINTWISE),
    Rule(r"entropy_parameters\.([024])\.bias", r"entropy_parameters/dense\1/bias"),
    *transtic.RULES,
)

STACKS = ("g_a1", "g_a3", "g_a5")
HYPER_STACKS = ("h_a1", "h_a3")


def tic_original_from_state_dict(
    state_dict: Mapping[str, np.ndarray],
) -> tuple[TICOriginalSpec, dict[str, Any]]:
    """Architecture and parameters of an original TIC, all read from the names and shapes of its state dict.

    Raises:
        ConversionError: the arrays are not those of an original TIC.
    """
    return TIC_ORIGINAL.convert(state_dict)


def expected_params(spec: TICOriginalSpec) -> dict[str, Any]:
    """Shapes of every parameter, as a nested dict of `jax.ShapeDtypeStruct`."""
    size = jax.ShapeDtypeStruct((1, spec.z_stride, spec.z_stride, 3), np.float32)
    variables: dict[str, Any] = jax.eval_shape(TICOriginal(spec).init, jax.random.key(0), size)["params"]
    return variables


def infer_spec(shapes: Mapping[str, tuple[int, ...]]) -> TICOriginalSpec:
    """The architecture that has these shapes. Heads and windows come from the relative position bias tables.

    Raises:
        ConversionError: a name that every original TIC has is missing, or stacks disagree.
    """
    try:
        n, m = shapes["h_a0.weight"][:2]
        context = shapes["context_prediction.relative_position_bias_table"]
        blocks = {stack: f"{stack}.residual_group.blocks.0." for stack in (*STACKS, *HYPER_STACKS)}
        tables = {s: shapes[block + "attn.relative_position_bias_table"] for s, block in blocks.items()}
        mlps = {s: shapes[block + "mlp.fc1.weight"] for s, block in blocks.items()}
        mlps["context_prediction"] = shapes["context_prediction.mlp.fc1.weight"]
    except KeyError as error:
        raise ConversionError(
            f"{error.args[0]} is missing: this is no state dict of an original TIC"
        ) from None
    return TICOriginalSpec(
        N=n,
        M=m,
        depths=tuple(stack_depth(stack, shapes) for stack in STACKS),
        hyper_depths=tuple(stack_depth(stack, shapes) for stack in HYPER_STACKS),
        heads=tuple(tables[stack][1] for stack in STACKS),
        hyper_heads=tuple(tables[stack][1] for stack in HYPER_STACKS),
        context_heads=context[1],
        window=common("window", {s: window_of_table(tables[s][0]) for s in STACKS}),
        hyper_window=common("window", {s: window_of_table(tables[s][0]) for s in HYPER_STACKS}),
        context_window=window_of_table(context[0]),
        mlp_ratio=common("MLP ratio", {s: rows // columns for s, (rows, columns) in mlps.items()}),
    )


TIC_ORIGINAL = NetworkMap(infer=infer_spec, rules=lambda spec: RULES, expected=expected_params)
