"""Swin transformers as timm and Microsoft's repository name them, of any size.

They differ in where a merging of patches belongs (timm: to the stage after it, Microsoft: before it) and in the
classifier's name. The rules speak Microsoft's names; timm's become these first.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from icm_jax.recognizers.swin import Swin, SwinSpec
from weights_convert.keymap import CONV, DENSE, ConversionError, Layout, Rule
from weights_convert.network_map import PARALLEL, NetworkMap, Shapes, StateDict
from weights_convert.torchvision import count, expected_params, shape
from weights_convert.transtic import window_of_table

BLOCK, OURS = r"layers\.(\d+)\.blocks\.(\d+)\.", r"layer\1_block\2/"
LINEAR = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")

RULES = (
    Rule(r"patch_embed\.proj\.weight", "patch_embed/kernel", CONV),
    Rule(r"patch_embed\.proj\.bias", "patch_embed/bias"),
    Rule(r"patch_embed\.norm\.weight", "patch_norm/scale"),
    Rule(r"patch_embed\.norm\.bias", "patch_norm/bias"),
    Rule(BLOCK + r"(norm[12])\.weight", OURS + r"\3/scale"),
    Rule(BLOCK + r"(norm[12])\.bias", OURS + r"\3/bias"),
    Rule(BLOCK + r"attn\.relative_position_bias_table", OURS + "attn/relative_position_bias"),
    Rule(BLOCK + r"attn\.(qkv|proj)\.weight", OURS + r"attn/\3/kernel", DENSE),
    Rule(BLOCK + r"attn\.(qkv|proj)\.bias", OURS + r"attn/\3/bias"),
    Rule(BLOCK + r"mlp\.(fc[12])\.weight", OURS + r"mlp/\3/kernel", DENSE),
    Rule(BLOCK + r"mlp\.(fc[12])\.bias", OURS + r"mlp/\3/bias"),
    Rule(r"layers\.(\d+)\.downsample\.norm\.weight", r"merge\1/norm/scale"),
    Rule(r"layers\.(\d+)\.downsample\.norm\.bias", r"merge\1/norm/bias"),
    Rule(r"layers\.(\d+)\.downsample\.reduction\.weight", r"merge\1/reduction/kernel", DENSE),
    Rule(r"norm\.weight", "norm/scale"),
    Rule(r"norm\.bias", "norm/bias"),
    Rule(r"head\.weight", "classifier/kernel", DENSE),
    Rule(r"head\.bias", "classifier/bias"),
    Rule(BLOCK + r"attn\.relative_position_index", None, reason="derived from the window"),
    Rule(BLOCK + r"attn_mask", None, reason="derived from the size of the image"),
)


def microsoft_names(published: Iterable[str]) -> dict[str, str]:
    """{published name: Microsoft's name for it}; its own names stay."""
    plain = {name: re.sub(r"^head\.fc\.", "head.", name.removeprefix(PARALLEL)) for name in published}
    merging = re.compile(r"layers\.(\d+)\.downsample\.(.+)")
    stages = [int(match[1]) for name in plain.values() if (match := merging.match(name))]
    if not stages or min(stages) == 0:
        return plain
    return {
        name: f"layers.{int(match[1]) - 1}.downsample.{match[2]}" if (match := merging.match(own)) else own
        for name, own in plain.items()
    }


def swin_from_state_dict(
    state_dict: StateDict, size: tuple[int, int] | None = None
) -> tuple[Swin, dict[str, Any]]:
    """A Swin transformer of any sizes, with or without final norm and classifier, and its parameters.

    Args:
        size: height and width of the images that it was made for, only where some windows are not square.

    Raises:
        ConversionError: the arrays are not those of one, or its windows are not square and no size is given.
    """
    return swin_map(size).convert(state_dict)


def swin_map(size: tuple[int, int] | None = None) -> NetworkMap[Swin]:
    """The map of every Swin transformer; see `swin_from_state_dict`."""
    return NetworkMap(
        infer=lambda shapes: Swin(swin_spec(shapes, size)),
        rules=lambda network: (*(_table_rules(network.spec, size) if size else ()), *RULES),
        expected=lambda network: expected_params(network, 8 * network.spec.patch),
        prepare=_prepare,
        restore=_restore,
        names=lambda network: published_names(network.spec),
    )


def swin_spec(shapes: Shapes, size: tuple[int, int] | None = None) -> SwinSpec:
    """The Swin transformer that has these shapes, by Microsoft's names; `size` as in `swin_from_state_dict`.

    Raises:
        ConversionError: a name that every one has is missing, or windows are not square.
    """
    width, _, _, patch = shape(shapes, "patch_embed.proj.weight")
    stages = range(count(shapes, "layers.{}.blocks.0.norm1.weight"))
    tables = [shape(shapes, f"layers.{i}.blocks.0.attn.relative_position_bias_table") for i in stages]
    maps = [_map_size(size, patch, i) if size else None for i in stages]
    return SwinSpec(
        patch=patch,
        width=width,
        depths=tuple(count(shapes, f"layers.{i}.blocks.{{}}.norm1.weight") for i in stages),
        heads=tuple(heads for _, heads in tables),
        windows=tuple(_window(rows, grid) for (rows, _), grid in zip(tables, maps, strict=True)),
        mlp_ratio=shape(shapes, "layers.0.blocks.0.mlp.fc1.weight")[0] // width,
        norm="norm.weight" in shapes,
        classes=shapes.get("head.weight", (0,))[0],
    )


def published_names(spec: SwinSpec) -> list[str]:
    """Microsoft's names of all arrays that the network uses."""
    layers = [f"layers.{i}.blocks.{j}." for i, depth in enumerate(spec.depths) for j in range(depth)]
    names = [f"patch_embed.{part}" for part in ("proj", "norm")]
    names += [layer + part for layer in layers for part in ("norm1", "norm2", *LINEAR)]
    names += [f"layers.{i}.downsample.norm" for i in range(len(spec.depths) - 1)]
    names += ["norm"] * spec.norm + ["head"] * (spec.classes > 0)
    return [
        *(f"{name}.{part}" for name in names for part in ("weight", "bias")),
        *(f"{layer}attn.relative_position_bias_table" for layer in layers),
        *(f"layers.{i}.downsample.reduction.weight" for i in range(len(spec.depths) - 1)),
    ]


def _window(rows: int, grid: tuple[int, int] | None) -> int:
    """The longer side of the windows with a table of so many rows. They are square, but for the map's short side."""
    longest = max(grid) if grid else window_of_table(rows)
    for window in range(1, longest + 1):
        sides = [min(side, window) for side in grid or (window, window)]
        if math.prod(2 * side - 1 for side in sides) == rows:
            return max(sides)
    raise ConversionError(
        f"a table of {rows} relative positions is of windows that are not square; give the size of the images"
        if grid is None
        else f"a table of {rows} relative positions fits no window of a map of {grid[0]}×{grid[1]}; give another size"
    )


def _map_size(size: tuple[int, int], patch: int, stage: int) -> tuple[int, int]:
    """Rows and columns of a stage's tokens; merging rounds up."""
    rows, columns = (-(-side // (patch << stage)) for side in size)
    return rows, columns


def _table_rules(spec: SwinSpec, size: tuple[int, int]) -> Iterable[Rule]:
    """Where a window is as short as its map, its table is the middle of that of the square window."""
    for i, window in enumerate(spec.windows):
        sides = [min(side, window) for side in _map_size(size, spec.patch, i)]
        if min(sides) < window:
            name = rf"layers\.({i})\.blocks\.(\d+)\.attn\.relative_position_bias_table"
            yield Rule(name, OURS + "attn/relative_position_bias", _middle(window, sides))


def _middle(window: int, sides: Sequence[int]) -> Layout:
    full, parts = 2 * window - 1, [2 * side - 1 for side in sides]
    margins = [window - side for side in sides]

    def forward(table: np.ndarray) -> np.ndarray:
        around = [(margin, margin) for margin in margins]
        return np.pad(table.reshape(*parts, -1), (*around, (0, 0))).reshape(full * full, -1)

    def inverse(table: np.ndarray) -> np.ndarray:
        rows, columns = (slice(margin, full - margin) for margin in margins)
        return table.reshape(full, full, -1)[rows, columns].reshape(math.prod(parts), -1)

    return Layout("table of relative positions", forward, inverse)


def _prepare(state_dict: StateDict) -> dict[str, np.ndarray]:
    names = microsoft_names(state_dict)
    return {names[published]: array for published, array in state_dict.items()}


def _restore(arrays: StateDict, published: Shapes) -> dict[str, np.ndarray]:
    return {name: arrays[own] for name, own in microsoft_names(published).items() if own in arrays}


SWIN = swin_map()
