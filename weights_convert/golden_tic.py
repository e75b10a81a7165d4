"""Golden checks of TIC: each stage is fed with the reference's own input of that stage.

    x ─► y    stored y ─► z    stored z_hat ─► scales, means    stored y_hat ─► x_hat, likelihoods

so that a rounding that falls the other way in one stage can not spoil the next.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from icm_jax.bitstream import guard
from icm_jax.entropy import factorized, gaussian
from icm_jax.layers.window_attention import (
    SHIFT_PENALTY,
    attention_mask,
    relative_position_index,
    window_regions,
)
from icm_jax.models.tic import TIC
from weights_convert.golden_coder import (
    ROUNDING_MARGIN,
    check_streams,
    check_symbols,
    check_tables,
    rounding_margin,
)
from weights_convert.golden_file import EXACT, GoldenFile, Row, Tolerance, companion
from weights_convert.golden_odd import check_odd_size
from weights_convert.golden_training import check_training
from weights_convert.keymap import Rule, find_rule, invert
from weights_convert.reference_codec import Codec, bits
from weights_convert.transtic import RULES, tic_from_state_dict

# Three times what an independent float32 implementation was seen to differ by.
TOLERANCES = {
    "y": Tolerance(absolute=3 * 3e-5),
    "z": Tolerance(absolute=3 * 2e-5),
    "scales": Tolerance(absolute=3 * 2e-5),
    "means": Tolerance(absolute=3 * 2e-5),
    "x_hat": Tolerance(absolute=3 * 4e-5),
    "act": Tolerance(absolute=3 * 5e-4),
    "likelihood": Tolerance(absolute=1e-6),
    # Of our own scales and means where the file has none: their error times the steepest slope 1/(0.11 √2π).
    "likelihood_own_scales": Tolerance(absolute=3 * 2e-5 * 3.6),
    "bits": Tolerance(relative=1e-6),
    "mse": Tolerance(relative=1e-5),
    "constant": Tolerance(relative=1e-6),
}

# Which stage a module belongs to, the method that runs it and the array that feeds it.
STAGES = {"g_a": "analyse", "h_a": "hyper_analyse", "h_s": "hyper_synthesise", "g_s": "synthesise"}

CONSTANTS = {
    "buf/entropy_bottleneck.target": [-factorized.QUANTILE_LOGIT, 0.0, factorized.QUANTILE_LOGIT],
    "buf/entropy_bottleneck.likelihood_lower_bound.bound": [gaussian.LIKELIHOOD_BOUND],
    "buf/gaussian_conditional.likelihood_lower_bound.bound": [gaussian.LIKELIHOOD_BOUND],
    "buf/gaussian_conditional.lower_bound_scale.bound": [gaussian.SCALE_BOUND],
    "buf/gaussian_conditional.scale_bound": [gaussian.SCALE_BOUND],
}


def check_tic(path: Path) -> list[Row]:
    """Compares every array of a `tic_small_*` or `tic_full_*` file."""
    file = GoldenFile(path)
    has_weights = any(name.startswith("sd/") for name in file.arrays)
    state_dict = (file if has_weights else GoldenFile(companion(path))).read_group("sd/")
    spec, params = tic_from_state_dict(state_dict)
    codec = Codec(TIC(spec), params)
    # A GPU would otherwise multiply float32 matrices with 10-bit mantissas.
    with jax.default_matmul_precision("highest"):
        if has_weights:
            check_state_dict(file, codec, RULES, state_dict)
        _check_constants(file, codec)
        if "y" in file:
            check_stages(file, codec)
        if "noise/y" in file:
            _check_training(file, codec)
        if "odd/x_u8" in file:
            check_odd_size(file, codec)
    check_tables(file, params["z_prior"])
    check_streams(file, params["z_prior"])
    file.ignore(
        r"rounding_margin_\w+_min|n_\w+_margin_below_1e-4", "describes the roundings of the reference"
    )
    return file.finish()


def check_state_dict(
    file: GoldenFile, codec: Codec, rules: Sequence[Rule], state_dict: Mapping[str, np.ndarray]
) -> None:
    """The weights survive the way into the parameter tree and back; every reference name has a rule."""
    back = invert(codec.params, rules, state_dict)
    changed = [name for name, array in back.items() if not np.array_equal(state_dict[name], array)]
    file.require("sd/*", not changed, f"{len(back)} arrays converted and back, changed: {changed or 'none'}")
    file.compare("N", codec.model.spec.N, EXACT)
    file.compare("M", codec.model.spec.M, EXACT)
    if "state_dict_keys" in file:
        unmapped = [str(name) for name in file.read("state_dict_keys") if find_rule(str(name), rules) is None]
        file.require("state_dict_keys", not unmapped, f"names without a rule: {unmapped or 'none'}")
    if "state_dict_shapes" in file:
        shapes = dict(zip(file.read("state_dict_keys"), file.read("state_dict_shapes"), strict=True))
        wrong = [name for name, array in back.items() if _dimensions(shapes[name]) != array.shape]
        file.require("state_dict_shapes", not wrong, f"parameters of another shape: {wrong or 'none'}")


def _dimensions(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def _check_constants(file: GoldenFile, codec: Codec) -> None:
    for name, value in CONSTANTS.items():
        file.compare(name, np.array(value), TOLERANCES["constant"])
    for match in list(file.matching(r"buf/.+\.relative_position_index")):
        window = math.isqrt(len(file.read(match[0])))
        file.compare(match[0], relative_position_index(window), EXACT)
    for match in list(file.matching(r"mask/plain_(\d+)x(\d+)_ws(\d+)_shift(\d+)")):
        regions = window_regions(*(int(number) for number in match.groups()))
        unmasked = np.zeros_like(file.read(match[0]))
        ours = unmasked if regions is None else np.asarray(attention_mask(regions, regions)) == SHIFT_PENALTY
        file.compare(match[0], ours, EXACT)


def check_stages(file: GoldenFile, codec: Codec, tolerances: Mapping[str, Tolerance] = TOLERANCES) -> None:
    """The rounding forward pass, one stage at a time, then rates and errors."""
    x = file.read_map("x_u8") / np.float32(255)
    _stage(file, codec, tolerances, "g_a", x, ("y",))
    y = file.read_map("y")
    z = _stage(file, codec, tolerances, "h_a", y, ("z",))[0]
    z = file.read_map("z") if "z" in file else z
    check_rounding(file, "z_hat", z, codec.medians())
    check_symbols(file, "z_symbols", z - codec.medians())

    z_hat = file.read_map("z_hat")
    scales, means = _stage(file, codec, tolerances, "h_s", z_hat, ("scales", "means"))
    means = file.read_map("means") if "means" in file else means
    _check_indexes(file)
    check_symbols(file, "y_symbols", y - means)
    if "y_hat" in file:
        check_rounding(file, "y_hat", y, means)
        y_hat = file.read_map("y_hat")
    else:
        y_hat = file.read_map("y_symbols") + means
    x_hat = _stage(file, codec, tolerances, "g_s", y_hat, ("x_hat",))[0]

    scales = file.read_map("scales") if "scales" in file else scales
    y_likelihoods = np.asarray(jax.jit(gaussian.likelihood)(y_hat, scales, means))
    z_likelihoods = np.asarray(codec.run("z_likelihoods", z_hat))
    tolerance = tolerances[
        "likelihood" if {"scales", "means"} <= file.arrays.keys() else "likelihood_own_scales"
    ]
    file.compare_map("y_likelihoods", y_likelihoods, tolerance)
    file.compare_map("z_likelihoods", z_likelihoods, tolerances["likelihood"])
    check_rates(file, bits(y_likelihoods), bits(z_likelihoods), x.shape[0] * x.shape[1] * x.shape[2])
    file.compare("mse", np.mean((x_hat - x) ** 2, dtype=np.float64), tolerances["mse"])


def _stage(
    file: GoldenFile,
    codec: Codec,
    tolerances: Mapping[str, Tolerance],
    transform: str,
    stage_input: np.ndarray,
    names: tuple[str, ...],
) -> list[np.ndarray]:
    """Runs a transform; compares its outputs `names` and those of its modules that the file holds."""
    wanted = {match[1] for match in file.matching(rf"act_({transform}\d+)(?:@stride\d+)?")}
    paths = {name: path for name in wanted if (path := codec.module_path(name))}
    out, captured = codec.run_and_capture(STAGES[transform], tuple(sorted(paths.values())), stage_input)
    outputs = [np.asarray(value) for value in (out if isinstance(out, tuple) else (out,))]
    for name, value in zip(names, outputs, strict=True):
        file.compare_map(name, value, tolerances[name])
    for name, path in sorted(paths.items()):
        file.compare_map(f"act_{name}", np.asarray(captured[path]), tolerances["act"])
    return outputs


def check_rounding(file: GoldenFile, name: str, latent: np.ndarray, centre: np.ndarray) -> None:
    """A quantised latent: the same wherever the rounding is not a matter of the last bits."""
    rounded = np.round(latent - centre) + centre
    near = rounding_margin(latent - centre) < ROUNDING_MARGIN
    theirs = file.read_map(name)
    note = f"{int(np.sum(near & (np.abs(rounded - theirs) > 0.5)))} rounded the other way within the margin"
    agreed = np.where(near & (np.abs(rounded - theirs) > 0.5), theirs, rounded)
    file.compare_map(name, agreed, Tolerance(absolute=1e-6), note)


def _check_indexes(file: GoldenFile) -> None:
    """Table indexes of the stored scales, by the function that the coder uses."""
    if "gc_indexes" not in file:
        return
    scales, theirs = file.read("scales"), file.read("gc_indexes")
    differs = np.flatnonzero(guard.scale_indexes(scales) != theirs)
    # The reference compares with float32 levels: a scale on such a level has no side in exact arithmetic.
    wrong = np.setdiff1d(differs, guard.ambiguous(scales, 1e-7))
    file.require("gc_indexes", len(wrong) == 0, f"{len(wrong)} of {theirs.size} indexes differ")


def check_rates(file: GoldenFile, bits_y: float, bits_z: float, pixels: int) -> None:
    """Compares bits_y, bits_z and bpp."""
    file.compare("bits_y", bits_y, TOLERANCES["bits"])
    file.compare("bits_z", bits_z, TOLERANCES["bits"])
    file.compare("bpp", (bits_y + bits_z) / pixels, TOLERANCES["bits"])


def _check_training(file: GoldenFile, codec: Codec) -> None:
    def forward(params: Any, x: Array, quantise: Any) -> Any:
        return codec.model.apply({"params": params}, x, quantise, method="forward")

    def auxiliary_loss(params: Any) -> Any:
        return codec.model.apply({"params": params}, method="auxiliary_loss")

    check_training(file, codec.params, RULES, forward, auxiliary_loss)
