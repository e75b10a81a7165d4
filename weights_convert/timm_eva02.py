"""EVA-02 as timm and the original BAAI repository name it: any size, fused or split, to any patch and grid.

names ─► timm's, qkv and fc1 taken apart ─► rules ─► patch kernel and positions resampled ─► parameters
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.layers.patch_embed import resample_kernel, resize_positions
from icm_jax.models.eva02 import EVA02, EVA02Spec
from weights_convert.keymap import CONV, DENSE, ConversionError, Rule
from weights_convert.network_map import NetworkMap, Shapes, StateDict
from weights_convert.state_dict import read_state_dict

HEAD_DIM = 64  # of every published size

# The original repository's names -> timm's. Its other names are the same.
RENAMED = (
    (r"(?:module\.|visual\.trunk\.|visual\.)(.+)", r"\1"),
    (r"(.+\.mlp)\.w1\.(\w+)", r"\1.fc1_g.\2"),
    (r"(.+\.mlp)\.w2\.(\w+)", r"\1.fc1_x.\2"),
    (r"(.+\.mlp)\.w3\.(\w+)", r"\1.fc2.\2"),
    (r"(.+\.mlp)\.w12\.(\w+)", r"\1.fc1.\2"),
    (r"(.+\.mlp)\.ffn_ln\.(\w+)", r"\1.norm.\2"),
)
BLOCK = r"blocks\.(\d+)\."

RULES = (
    Rule(r"cls_token|pos_embed", r"\g<0>"),
    Rule(r"patch_embed\.proj\.weight", "patch_embed/kernel", CONV),
    Rule(r"patch_embed\.proj\.bias", "patch_embed/bias"),
    Rule(BLOCK + r"(norm[12])\.weight", r"blocks_\1/\2/scale"),
    Rule(BLOCK + r"(norm[12])\.bias", r"blocks_\1/\2/bias"),
    Rule(BLOCK + r"attn\.(q_proj|k_proj|v_proj|proj)\.weight", r"blocks_\1/attn/\2/kernel", DENSE),
    Rule(BLOCK + r"attn\.(q_proj|v_proj|proj)\.bias", r"blocks_\1/attn/\2/bias"),
    Rule(BLOCK + r"mlp\.(fc1_g|fc1_x|fc2)\.weight", r"blocks_\1/mlp/\2/kernel", DENSE),
    Rule(BLOCK + r"mlp\.(fc1_g|fc1_x|fc2)\.bias", r"blocks_\1/mlp/\2/bias"),
    Rule(BLOCK + r"mlp\.norm\.weight", r"blocks_\1/mlp/norm/scale"),
    Rule(BLOCK + r"mlp\.norm\.bias", r"blocks_\1/mlp/norm/bias"),
    Rule(r"(?:.+\.)?rope(?:\..+)?", None, reason="derived from the grid"),
    Rule(r"(?:fc_norm|norm|head|lm_head)\.(?:weight|bias)", None, reason="features are taken before it"),
    Rule(r"mask_token", None, reason="of the pre-training alone"),
)


def eva02_from_state_dict(
    state_dict: Mapping[str, np.ndarray],
    patch: int | None = None,
    grid: tuple[int, int] | None = None,
    *,
    source_grid: tuple[int, int] | None = None,
    heads: int | None = None,
) -> tuple[EVA02Spec, dict[str, Any]]:
    """Architecture and parameters of an EVA-02, read from the names and shapes of its state dict.

    Args:
        patch: side of the patches wanted; another than the checkpoint's is reached by pseudo-inverse resampling.
        grid: rows and columns of the position embedding wanted; None keeps the checkpoint's.
        source_grid: the checkpoint's own, only where it is not square.
        heads: only where a head does not have 64 channels.

    Raises:
        ConversionError: the arrays are not those of an EVA-02.
    """
    spec, params = eva02_map(source_grid, heads).convert(state_dict)
    return resampled(spec, params, patch, grid)


def eva02_map(source_grid: tuple[int, int] | None = None, heads: int | None = None) -> NetworkMap[EVA02Spec]:
    """The map of every size; see `eva02_from_state_dict`."""
    return NetworkMap(
        infer=lambda shapes: infer_spec(shapes, source_grid, heads),
        rules=lambda spec: RULES,
        expected=expected_params,
        prepare=split_fused,
        restore=joined,
    )


def resampled(
    spec: EVA02Spec, params: Mapping[str, Any], patch: int | None, grid: tuple[int, int] | None
) -> tuple[EVA02Spec, dict[str, Any]]:
    """The same network for patches of another side and another grid of positions; None keeps what it has."""
    wanted = dataclasses.replace(spec, patch=patch or spec.patch, grid=grid or spec.grid)
    kernel = resample_kernel(params["patch_embed"]["kernel"], (wanted.patch, wanted.patch))
    positions = resize_positions(jnp.asarray(params["pos_embed"]), spec.grid, wanted.grid)
    embed = {**params["patch_embed"], "kernel": kernel}
    return wanted, {**params, "patch_embed": embed, "pos_embed": np.asarray(positions)}


def load_eva02(
    path: Path, patch: int = 16, grid: tuple[int, int] = (28, 36)
) -> tuple[EVA02Spec, dict[str, Any]]:
    """A checkpoint file, or the folder that `icm convert` made of it, as the task networks use it.

    Raises:
        ConversionError: it can not be read, or holds no EVA-02.
    """
    from weights_convert import converted  # whose table of sources has a row for this module

    if not converted.is_converted(path):
        return eva02_from_state_dict(read_state_dict(path), patch, grid)
    found = converted.read(path)
    if not isinstance(found.network, EVA02Spec):
        raise ConversionError(f"{path} holds {found.manifest['model']}; give the weights of an EVA-02")
    return resampled(found.network, found.params, patch, grid)


def timm_name(name: str) -> str:
    """What timm calls an array of the original repository; its own names stay."""
    for pattern, replacement in RENAMED:
        name = re.sub(f"^{pattern}$", replacement, name)
    return name


def parts_of(name: str) -> tuple[str, ...]:
    """The separate layers that an array is made of, one after another along its first axis.

    Small sizes fuse query, key and value, and gate and value of the MLP; large ones do not. Keys have no bias.
    """
    name = timm_name(name)
    if match := re.fullmatch(r"(.+\.attn\.)qkv\.weight", name):
        return tuple(f"{match[1]}{kind}_proj.weight" for kind in "qkv")
    if match := re.fullmatch(r"(.+\.attn\.)([qv])_bias", name):
        return (f"{match[1]}{match[2]}_proj.bias",)
    if match := re.fullmatch(r"(.+\.mlp\.)fc1\.(weight|bias)", name):
        return tuple(f"{match[1]}fc1_{half}.{match[2]}" for half in "gx")
    return (name,)


def split_fused(state_dict: StateDict) -> dict[str, np.ndarray]:
    """The arrays under the names of the large sizes of timm."""
    arrays: dict[str, np.ndarray] = {}
    for name, array in state_dict.items():
        parts = parts_of(name)
        rows = np.split(np.asarray(array), len(parts)) if len(parts) > 1 else [array]
        arrays.update(zip(parts, rows, strict=True))
    return arrays


def joined(arrays: StateDict, published: Shapes) -> dict[str, np.ndarray]:
    """Undoes `split_fused`."""
    parts = {name: parts_of(name) for name in published}
    return {
        name: np.concatenate([arrays[own] for own in owns]) if len(owns) > 1 else arrays[owns[0]]
        for name, owns in parts.items()
        if all(own in arrays for own in owns)
    }


def infer_spec(
    shapes: Mapping[str, tuple[int, ...]],
    source_grid: tuple[int, int] | None = None,
    heads: int | None = None,
) -> EVA02Spec:
    """The architecture that has these shapes.

    Raises:
        ConversionError: a name that every EVA-02 has is missing, or the positions fit no grid.
    """
    try:
        width, patch = shapes["patch_embed.proj.weight"][0], shapes["patch_embed.proj.weight"][-1]
        count = shapes["pos_embed"][1] - 1
    except KeyError as error:
        raise ConversionError(
            f"{error.args[0]} is missing: this is no state dict of a vision transformer"
        ) from None
    side = math.isqrt(count)
    grid = source_grid or (side, side)
    if grid[0] * grid[1] != count:
        raise ConversionError(f"{count} position embeddings are no grid of {grid}; give source_grid")
    numbers = [int(match[1]) for name in shapes if (match := re.match(BLOCK, name))]
    return EVA02Spec(
        width=width,
        depth=1 + max(numbers, default=-1),
        heads=heads or max(1, width // HEAD_DIM),
        sub_ln="blocks.0.mlp.norm.weight" in shapes,
        patch=patch,
        grid=grid,
    )


def expected_params(spec: EVA02Spec) -> dict[str, Any]:
    """Shapes of every parameter, as a nested dict of `jax.ShapeDtypeStruct`."""
    size = jax.ShapeDtypeStruct((1, spec.patch, spec.patch, 3), np.float32)
    variables: dict[str, Any] = jax.eval_shape(EVA02(spec).init, jax.random.key(0), size)["params"]
    return variables
