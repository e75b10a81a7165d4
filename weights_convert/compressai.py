"""The image codecs of CompressAI's zoo: names and shapes of their state dicts, and codecs that share its streams.

A codec made by `stored_codec` reads and writes CompressAI's strings: sections Y and Z of a file are its
`strings[0]` and `strings[1]` for an image whose sides are multiples of 64, or of 16 without a hyperprior.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from icm_jax.bitstream.tables import CdfTables, validate
from icm_jax.entropy.tables import default_scale_table, factorized_tables, gaussian_tables
from icm_jax.models.registry import MODELS, ModelSpec, build
from icm_jax.pretrained import store
from weights_convert import transtic
from weights_convert.keymap import CONV, DECONV, DENSE, IDENTITY, ConversionError, Layout, Rule
from weights_convert.network_map import NetworkMap, Shapes, without_prefix
from weights_convert.tic_original import POINTWISE

TABLE_ARRAYS = ("_quantized_cdf", "_cdf_length", "_offset")
CANVAS = 64  # pixels a side that any of the codecs can be traced on

CONSTANTS = (
    Rule(r".+\.(?:beta|gamma)_reparam\.(?:pedestal|lower_bound\.bound)", None, reason="a constant"),
    Rule(
        r".+\.(?:_offset|_quantized_cdf|_cdf_length|scale_table)", None, reason="part of the codec's tables"
    ),
    *transtic.RULES,  # of these the priors', which TransTIC has from CompressAI in all their spellings
)

# OIHW of which only the taps before the centre count -> (taps, in, out); the others come back as zeros.
CAUSAL = Layout(
    "causal convolution",
    lambda a: a.transpose(2, 3, 1, 0).reshape(-1, a.shape[1], a.shape[0])[: a.shape[2] * a.shape[3] // 2],
    lambda a: _square_kernel(np.concatenate([a, np.zeros((len(a) + 1, *a.shape[1:]), a.dtype)])),
)


def _square_kernel(taps: np.ndarray) -> np.ndarray:
    """(k², in, out) -> OIHW."""
    side = math.isqrt(len(taps))
    return taps.reshape(side, side, *taps.shape[1:]).transpose(3, 2, 0, 1)


# (there, here, layout) of the leaves of a layer.
KERNEL, TRANSPOSED, BIAS = (
    ("weight", "kernel", CONV),
    ("weight", "kernel", DECONV),
    ("bias", "bias", IDENTITY),
)
BETA, GAMMA = ("beta", "beta", IDENTITY), ("gamma", "gamma", DENSE)


def _layer(pattern: str, target: str, *leaves: tuple[str, str, Layout]) -> tuple[Rule, ...]:
    return tuple(Rule(rf"{pattern}\.{leaf}", f"{target}/{ours}", layout) for leaf, ours, layout in leaves)


CONTEXT = (
    *_layer(r"context_prediction", r"context", ("weight", "kernel", CAUSAL), BIAS),
    Rule(r"context_prediction\.mask", None, reason="the taps that it hides are not kept"),
    *_layer(
        r"entropy_parameters\.([024])", r"entropy_parameters/dense\1", ("weight", "kernel", POINTWISE), BIAS
    ),
)

CONVOLUTIONAL = (
    *_layer(r"(g_[as])\.(\d)", r"\1/gdn\2", BETA, GAMMA),
    *_layer(r"([gh]_a)\.(\d)", r"\1/conv\2", KERNEL, BIAS),
    *_layer(r"h_s\.4", r"h_s/conv4", KERNEL, BIAS),
    *_layer(r"([gh]_s)\.(\d)", r"\1/deconv\2", TRANSPOSED, BIAS),
    *CONSTANTS,
)

RESIDUAL = (
    *_layer(r"(g_[as])\.(\d)\.(conv[12]?|skip)", r"\1/layer\2/\3", KERNEL, BIAS),
    *_layer(r"(g_[as])\.(\d)\.downsample", r"\1/layer\2/skip", KERNEL, BIAS),  # its name in old checkpoints
    *_layer(r"(g_[as])\.(\d)\.(i?gdn)", r"\1/layer\2/\3", BETA, GAMMA),
    *_layer(r"g_s\.(\d)\.(subpel_conv|upsample)\.0", r"g_s/layer\1/\2", KERNEL, BIAS),
    *_layer(r"(g_[as])\.(\d)\.conv_([ab])\.([0-2])\.conv\.([024])", r"\1/layer\2/\3\4/conv\5", KERNEL, BIAS),
    *_layer(r"(g_[as])\.(\d)\.conv_b\.3", r"\1/layer\2/gate", KERNEL, BIAS),
    *_layer(r"(g_[as])\.(\d)(?:\.0)?", r"\1/layer\2", KERNEL, BIAS),
    *_layer(r"(h_[as])\.(\d)(?:\.0)?", r"\1/conv\2", KERNEL, BIAS),
    *CONTEXT,
    *CONSTANTS,
)

TRANSFORM_WIDTHS = {"N": "g_a.0.weight", "M": "g_a.6.weight"}


def _zoo_map(name: str, rules: tuple[Rule, ...], widths: Mapping[str, str]) -> NetworkMap[ModelSpec]:
    """The map of a codec from its rules and, for every width of its specification, an array that is as wide."""

    def infer(shapes: Shapes) -> ModelSpec:
        try:
            found = {field: shapes[array][0] for field, array in widths.items()}
        except KeyError as error:
            raise ConversionError(
                f"{error.args[0]} is missing: this is not the state dict of {name}"
            ) from None
        spec: ModelSpec = MODELS[name].spec(**found)
        return spec

    return NetworkMap(infer=infer, rules=lambda spec: rules, expected=expected_params)


def expected_params(spec: ModelSpec) -> dict[str, Any]:
    """Shapes of every parameter, as a nested dict of `jax.ShapeDtypeStruct`."""
    size = jax.ShapeDtypeStruct((1, CANVAS, CANVAS, 3), np.float32)
    variables: dict[str, Any] = jax.eval_shape(build(spec).init, jax.random.key(0), size)["params"]
    return variables


ZOO: dict[str, NetworkMap[ModelSpec]] = {
    name: _zoo_map(name, rules, widths)
    for name, rules, widths in (
        ("bmshj2018-factorized", CONVOLUTIONAL, TRANSFORM_WIDTHS),
        ("bmshj2018-factorized-relu", CONVOLUTIONAL, TRANSFORM_WIDTHS),
        ("bmshj2018-hyperprior", CONVOLUTIONAL, TRANSFORM_WIDTHS),
        ("mbt2018-mean", CONVOLUTIONAL, TRANSFORM_WIDTHS),
        ("mbt2018", (*CONTEXT, *CONVOLUTIONAL), TRANSFORM_WIDTHS),
        ("cheng2020-anchor", RESIDUAL, {"N": "g_a.0.conv1.weight"}),
        ("cheng2020-attn", RESIDUAL, {"N": "g_a.0.conv1.weight"}),
    )
}


def codec_from_state_dict(
    state_dict: Mapping[str, np.ndarray], name: str
) -> tuple[ModelSpec, dict[str, Any]]:
    """Architecture and parameters (float32, nested) of a codec of the zoo, by its name there.

    Raises:
        ConversionError: there is no such codec, or the arrays are not those of one.
    """
    if name not in ZOO:
        raise ConversionError(f"{name!r} is no codec of CompressAI's that is read; choose {', '.join(ZOO)}")
    return ZOO[name].convert(state_dict)


def stored_codec(
    state_dict: Mapping[str, np.ndarray],
    model: str,
    name: str,
    quality: int = 1,
    lmbda: float = 0.0,
    training: Mapping[str, Any] | None = None,
) -> store.StoredCodec:
    """A codec that shares its streams with CompressAI: weights in float32, quantiles and tables as published.

    Args:
        model: name of the codec in the zoo.
        name: what streams carry.
        quality, lmbda, training: what the arrays do not say.

    Raises:
        ConversionError: the arrays are not those of the codec, or its tables are none or of other scales.
    """
    spec, params = codec_from_state_dict(state_dict, model)
    arrays = without_prefix(state_dict)
    scales = np.asarray(arrays.get("gaussian_conditional.scale_table", ()))
    ours = default_scale_table()
    if scales.size and (scales.shape != ours.shape or not np.allclose(scales, ours, rtol=1e-5)):
        raise ConversionError(
            f"tables of {scales.size} scales, {scales.min():.3g} to {scales.max():.3g}, where streams have 64, "
            "0.11 to 256; call update(force=True) in CompressAI and save again"
        )
    codec = store.StoredCodec(
        name=name,
        quality=quality,
        lmbda=lmbda,
        spec=spec,
        params=params,
        z_tables=_tables(arrays, "entropy_bottleneck") or factorized_tables(params["z_prior"]),
        y_tables=_tables(arrays, "gaussian_conditional") or gaussian_tables(),
        training=training or {},
        exact=True,
    )
    return store.with_hash(codec)


def _tables(arrays: Mapping[str, np.ndarray], prior: str) -> CdfTables | None:
    """The integer tables stored with the weights; None if there are none.

    They are not cut anew: releases of CompressAI differ in how they round the far tails, by a count or two.
    """
    rows = [np.asarray(arrays.get(f"{prior}.{leaf}", ())) for leaf in TABLE_ARRAYS]
    if not all(array.size for array in rows):
        return None
    try:
        return validate(CdfTables(*(array.astype(np.int32) for array in rows)))
    except ValueError as error:
        raise ConversionError(f"{prior}: {error}") from None
