"""TIC as the TransTIC repository trains it: names, shapes and checkpoint files.

Source of the names: NYCU-MAPL/TransTIC and, for the factorised prior, CompressAI in its three spellings
(`_matrix0`, `_matrices.0`, `matrices.0`).
"""

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from icm_jax.models.tic import TIC, TICSpec
from weights_convert.keymap import CONV, DECONV, DENSE, ConversionError, Rule
from weights_convert.network_map import NetworkMap

BLOCK = r"([gh]_[as])(\d)\.residual_group\.blocks\.(\d+)\."
LAYER = r"\1/stb\2/layer\3/"

RULES = (
    Rule(r"([gh]_a)(\d)\.weight", r"\1/conv\2/kernel", CONV),
    Rule(r"([gh]_a)(\d)\.bias", r"\1/conv\2/bias"),
    Rule(r"([gh]_s)(\d)\.weight", r"\1/deconv\2/kernel", DECONV),
    Rule(r"([gh]_s)(\d)\.bias", r"\1/deconv\2/bias"),
    Rule(BLOCK + r"(norm[12])\.weight", LAYER + r"\4/scale"),
    Rule(BLOCK + r"(norm[12])\.bias", LAYER + r"\4/bias"),
    Rule(BLOCK + r"attn\.relative_position_bias_table", LAYER + r"attn/relative_position_bias"),
    Rule(BLOCK + r"attn\.(qkv|proj)\.weight", LAYER + r"attn/\4/kernel", DENSE),
    Rule(BLOCK + r"attn\.(qkv|proj)\.bias", LAYER + r"attn/\4/bias"),
    Rule(BLOCK + r"mlp\.(fc[12])\.weight", LAYER + r"mlp/\4/kernel", DENSE),
    Rule(BLOCK + r"mlp\.(fc[12])\.bias", LAYER + r"mlp/\4/bias"),
    Rule(BLOCK + r"attn\.relative_position_index", None, reason="derived from the window"),
    Rule(BLOCK + r"attn_mask", None, reason="derived from the size of the image"),
    Rule(r"entropy_bottleneck\.(?:_matrix|_?matrices\.)(\d)", r"z_prior/matrix\1"),
    Rule(r"entropy_bottleneck\.(?:_bias|_?biases\.)(\d)", r"z_prior/bias\1"),
    Rule(r"entropy_bottleneck\.(?:_factor|_?factors\.)(\d)", r"z_prior/factor\1"),
    Rule(r"entropy_bottleneck\.quantiles", r"z_prior/quantiles"),
    Rule(r"entropy_bottleneck\.target", None, reason="a constant"),
    Rule(
        r".+\.(?:_offset|_quantized_cdf|_cdf_length|scale_table)",
        None,
        reason="tables are made from the weights",
    ),
    Rule(r".+\.(?:likelihood_lower_bound|lower_bound_scale)\.bound", None, reason="a constant"),
    Rule(r"gaussian_conditional\.scale_bound", None, reason="a constant"),
)

STACKS = ("g_a1", "g_a3", "g_a5", "g_a7")
HYPER_STACKS = ("h_a1", "h_a3")
STATE_DICT_ENTRIES = ("state_dict", "model", "module")  # where training scripts keep it; else the file is one


def tic_from_state_dict(state_dict: Mapping[str, np.ndarray]) -> tuple[TICSpec, dict[str, Any]]:
    """Architecture and parameters of a TIC, all read from the names and shapes of its state dict.

    Raises:
        ConversionError: the arrays are not those of a TIC.
    """
    return TIC_MAP.convert(state_dict)


def expected_params(spec: TICSpec) -> dict[str, Any]:
    """Shapes of every parameter of a TIC, as a nested dict of `jax.ShapeDtypeStruct`."""
    size = jax.ShapeDtypeStruct((1, spec.z_stride, spec.z_stride, 3), np.float32)
    variables: dict[str, Any] = jax.eval_shape(TIC(spec).init, jax.random.key(0), size)["params"]
    return variables


def infer_spec(shapes: Mapping[str, tuple[int, ...]]) -> TICSpec:
    """The architecture that has these shapes. Heads and windows come from the relative position bias tables.

    Raises:
        ConversionError: a name that every TIC has is missing, or stacks disagree about what they share.
    """
    try:
        widths = tuple(shapes[f"g_a{i}.weight"][0] for i in (0, 2, 4))
        n, m = shapes["h_a0.weight"][:2]
        tables = {
            s: shapes[f"{s}.residual_group.blocks.0.attn.relative_position_bias_table"]
            for s in (*STACKS, *HYPER_STACKS)
        }
        ratios = {s: shapes[f"{s}.residual_group.blocks.0.mlp.fc1.weight"] for s in tables}
    except KeyError as error:
        raise ConversionError(f"{error.args[0]} is missing: this is not the state dict of a TIC") from None
    depth = {stack: stack_depth(stack, shapes) for stack in tables}
    return TICSpec(
        N=n,
        M=m,
        widths=() if set(widths) == {n} else widths,
        depths=tuple(depth[stack] for stack in STACKS),
        hyper_depths=tuple(depth[stack] for stack in HYPER_STACKS),
        heads=tuple(tables[stack][1] for stack in STACKS),
        hyper_heads=tuple(tables[stack][1] for stack in HYPER_STACKS),
        window=common("window", {s: window_of_table(tables[s][0]) for s in STACKS}),
        hyper_window=common("window", {s: window_of_table(tables[s][0]) for s in HYPER_STACKS}),
        mlp_ratio=common("MLP ratio", {s: rows // columns for s, (rows, columns) in ratios.items()}),
    )


def load_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a checkpoint with a state dict in it, such as TransTIC's `.pth.tar`, or of a bare state dict.

    Nothing but tensors is unpickled. Needs torch.

    Raises:
        ConversionError: torch is not installed, or the file does not hold a state dict of tensors.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise ConversionError(f"{path} is a PyTorch file; pip install torch to read it") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        if refused := re.search(r"GLOBAL ([\w.]+) was not an allowed global", str(error)):
            raise ConversionError(
                f"{path} is refused: it holds {refused[1]}, which is no tensor; whoever trusts it saves its tensors "
                "alone: torch.save(torch.load(FILE, weights_only=False)['model'], 'tensors.pth')"
            ) from None
        reason = re.split(r"[.\n] ?", str(error), maxsplit=1)[0]
        raise ConversionError(
            f"{path} can not be read as a PyTorch checkpoint: {reason}; fetch it again"
        ) from None
    tensors = content if isinstance(content, dict) else {}
    tensors = next((tensors[entry] for entry in STATE_DICT_ENTRIES if entry in tensors), tensors)
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ConversionError(f"{path} holds no state dict of tensors")
    return {name: _array(tensor) for name, tensor in tensors.items()}


def _array(tensor: Any) -> np.ndarray:
    """PyTorch has no way of its own from bfloat16 to NumPy."""
    import torch

    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return np.asarray(tensor.numpy())


def stack_depth(stack: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Layers of a stack."""
    blocks = [re.match(rf"{stack}\.residual_group\.blocks\.(\d+)\.", name) for name in shapes]
    return 1 + max(int(block[1]) for block in blocks if block)


def window_of_table(table_rows: int) -> int:
    """The table has (2·window - 1)² rows."""
    return (math.isqrt(table_rows) + 1) // 2


def common(what: str, values: Mapping[str, int]) -> int:
    """The one value that all of `values` are.

    Raises:
        ConversionError: they are not.
    """
    if len(set(values.values())) != 1:
        raise ConversionError(
            f"stacks differ in their {what} ({dict(values)}); one TIC has the same everywhere"
        )
    return next(iter(values.values()))


TIC_MAP = NetworkMap(infer=infer_spec, rules=lambda spec: RULES, expected=expected_params)
