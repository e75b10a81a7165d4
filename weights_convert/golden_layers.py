"""Golden checks of the small parts of EVA-02 and DoRA-ICM: rotary tables, resizing, resampled weights."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.layers.bicubic import bicubic
from icm_jax.layers.patch_embed import resample_kernel, resample_matrix, resize_positions
from icm_jax.layers.resize import bilinear
from icm_jax.layers.rotary import RotaryTable, frequency_bands, rotary_table, rotate
from weights_convert.golden_file import EXACT, GoldenFile, Row, Tolerance, to_nchw
from weights_convert.keymap import CONV

CLOSE = Tolerance(relative=2e-5)


def check_rope(path: Path) -> list[Row]:
    """Tables of any grid, with and without a reference side, and their use."""
    file = GoldenFile(path)
    with jax.default_matmul_precision("highest"):
        for match in list(file.matching(r"emb_(\d+)x(\d+)_hd(\d+)_ref(\d+|none)")):
            rows, cols, head_dim = (int(match[i]) for i in (1, 2, 3))
            reference = None if match[4] == "none" else int(match[4])
            table = rotary_table((rows, cols), head_dim, reference)
            file.compare(match[0], np.concatenate(table, axis=-1), CLOSE)
        for match in list(file.matching(r"bands_hd(\d+)")):
            file.compare(match[0], frequency_bands(int(match[1])), CLOSE)
        if "apply_x" in file:
            table = RotaryTable(*np.split(file.read("apply_emb"), 2, axis=-1))
            by_position = jnp.asarray(file.read("apply_x").swapaxes(1, 2))  # heads come first there
            file.compare("apply_y", np.asarray(rotate(by_position, table)).swapaxes(1, 2), CLOSE)
    return file.finish()


def check_interp(path: Path) -> list[Row]:
    """Bicubic in both forms, bilinear, and the gradient of bicubic."""
    file = GoldenFile(path)
    x = jnp.asarray(file.read_map("x"))

    def target(size: str) -> tuple[int, int]:
        rows, _, cols = size.rpartition("x")
        return (int(rows), int(cols)) if rows else (x.shape[1] * int(cols), x.shape[2] * int(cols))

    for match in list(file.matching(r"(bicubic|bilinear)_(?:x|to_)(\d+(?:x\d+)?)(?:_aa([01]))?")):
        size = target(match[2])
        ours = bilinear(x, size) if match[1] == "bilinear" else bicubic(x, size, match[3] == "1")
        file.compare_map(match[0], np.asarray(ours), CLOSE)
    for match in list(file.matching(r"cot_x(\d+)")):
        pullback = jax.vjp(partial(bicubic, size=target(match[1])), x)[1]
        gradient = pullback(jnp.asarray(file.read_map(match[0])))[0]
        file.compare_map(f"g_x{match[1]}", np.asarray(gradient), CLOSE)
    for match in list(file.matching(r"up_(\d+)x(\d+)")):
        source = next(file.matching(r"x_(\d+)x(\d+)"))
        ours = bicubic(jnp.asarray(file.read_map(source[0])), (int(match[1]), int(match[2])))
        file.compare_map(match[0], np.asarray(ours), CLOSE)
    return file.finish()


def check_resample(path: Path) -> list[Row]:
    """Position embeddings to other grids, patch kernels to other patches."""
    file = GoldenFile(path)
    for match in list(file.matching(r"pos_(\d+)x(\d+)_to_(\d+)x(\d+)_in")):
        source, target = _sizes(match)
        ours = resize_positions(jnp.asarray(file.read(match[0])), source, target)
        file.compare(match[0].replace("_in", "_out"), np.asarray(ours), CLOSE if source != target else EXACT)
    for match in list(file.matching(r"(patch_(\d+)x(\d+)_to_(\d+)x(\d+))_in")):
        source, target = _sizes(match, 2)
        kernel = file.read(match[0])
        resampled = resample_kernel(CONV.forward(kernel), target)
        file.compare(f"{match[1]}_out", CONV.inverse(resampled), CLOSE)
        file.compare(f"{match[1]}_resizemat", resample_matrix(source, target), CLOSE)
        resized = bicubic(jnp.asarray(kernel.transpose(0, 2, 3, 1)), target)
        file.compare(f"{match[1]}_plain_bicubic", to_nchw(resized), CLOSE)
    return file.finish()


def check_posresize(path: Path) -> list[Row]:
    """One position embedding of a square grid to that of `grid`."""
    file = GoldenFile(path)
    rows, cols = (int(side) for side in file.read("grid"))
    for match in list(file.matching(r"pos_embed_(\d+)x(\d+)")):
        source = (int(match[1]), int(match[2]))
        ours = resize_positions(jnp.asarray(file.read(match[0])), source, (rows, cols))
        file.compare("pos_embed_new", np.asarray(ours), CLOSE)
    return file.finish()


def _sizes(match: Any, first: int = 1) -> tuple[tuple[int, int], tuple[int, int]]:
    a, b, c, d = (int(match[i]) for i in range(first, first + 4))
    return (a, b), (c, d)
