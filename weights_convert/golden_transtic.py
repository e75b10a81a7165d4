"""Golden checks of TransTIC: prompts on a frozen base, its variants, and training of the prompts alone.

A file holds the prompts' parameters, or lies beside one that does; the base is that of the TIC files beside it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax import paths
from icm_jax.adapters.prompt_extractor import PromptExtractor
from icm_jax.adapters.prompts import PromptSpec
from icm_jax.layers.prompts import Prompts
from icm_jax.layers.window_attention import SHIFT_PENALTY, WindowGrid, prompted_masks
from icm_jax.models.tic import TIC
from weights_convert import golden_tic, golden_training
from weights_convert.golden_file import EXACT, GoldenFile, Row, Tolerance, to_nchw, weights_beside
from weights_convert.golden_tic import check_stages
from weights_convert.golden_training import check_training
from weights_convert.keymap import find_rule, invert
from weights_convert.reference_codec import Codec
from weights_convert.transtic import RULES as BASE_RULES
from weights_convert.transtic_prompts import RULES, is_prompt, transtic_from_state_dict

# Three times what an independent float32 implementation was seen to differ by; the full-size model is tamer.
Y = Tolerance(absolute=3 * 2e-4)
SMALL = {**golden_tic.TOLERANCES, "y": Y}
TRAINING = {
    **golden_training.TOLERANCES,
    "likelihood": Tolerance(absolute=Y.absolute * 3.6),  # its steepest slope
    "gradient": Tolerance(relative=3 * 2e-3),
}
STATISTICS = Tolerance(absolute=1e-6, relative=1e-5)


def check_transtic(path: Path) -> list[Row]:
    """Compares every array of a `transtic_*` or `variant_*` file."""
    file = GoldenFile(path)
    state_dict = _state_dict(file)
    encoder_prompts = _encoder_prompts(file)
    found = transtic_from_state_dict(state_dict, encoder_prompts)
    model = TIC(found.base, found.spec.build(found.base))
    params = paths.merge(found.base_params, {"adapter": found.variables["params"]})
    state = {kind: {"adapter": tree} for kind, tree in found.variables.items() if kind != "params"}
    codec = Codec(model, params, state)
    _check_names(file, found.variables, state_dict)
    with jax.default_matmul_precision("highest"):
        if "y" in file:
            _check_prompts(file, codec)
            check_stages(file, codec, golden_tic.TOLERANCES if "full" in path.stem else SMALL)
        if "noise/y" in file:
            _check_training(file, codec, found.variables["params"])
        _check_extractor(file, found.variables, found.spec, found.base.stage_widths[0])
    _check_masks(file)
    file.ignore(
        r"rounding_margin_\w+_min|n_\w+_margin_below_1e-4", "describes the roundings of the reference"
    )
    return file.finish()


def _state_dict(file: GoldenFile) -> dict[str, np.ndarray]:
    """Base and prompts together, from the file and those beside it."""
    kind, *words = file.path.stem.split("_")
    own = file.read_group("sd/")
    variant = kind == "variant"
    base = GoldenFile(weights_beside(file.path, "tic_small" if variant else "tic", words, ("", "_weights")))
    if not own or (variant and _uses_extractor(own)):
        beside = weights_beside(
            file.path, "transtic_small" if variant else "transtic", words, ("", "_prompt_weights")
        )
        prompts = GoldenFile(beside).read_group("sd/")
        # A variant takes the extractor from there; its own file holds all else.
        own |= {k: v for k, v in prompts.items() if not variant or k.startswith("g_a0_prompt.")}
    return {k: v for k, v in base.read_group("sd/").items() if not is_prompt(k)} | own


def _uses_extractor(own: Mapping[str, np.ndarray]) -> bool:
    return any(name.startswith("g_a0_prompt_layers") for name in own)


def _encoder_prompts(file: GoldenFile) -> int:
    """A variant's configuration says how far the reference samples its encoder prompts down."""
    config = str(file.read("config")) if "config" in file else ""
    down = re.search(r"'MASK_DOWNSAMPLE': (\d+)", config)
    return (8 // int(down[1])) ** 2 if down else 16


def _check_names(
    file: GoldenFile, variables: Mapping[str, Any], state_dict: Mapping[str, np.ndarray]
) -> None:
    """Prompts survive the way into the adapter's tree and back; every name of the reference has a rule."""
    names = [name for name in state_dict if is_prompt(name)]
    back = invert(variables, RULES, names)
    changed = [name for name in names if not np.array_equal(state_dict[name], back[name])]
    file.require(
        "sd/*", not changed, f"{len(names)} prompt arrays converted and back, changed: {changed or 'none'}"
    )
    if "state_dict_keys" in file:
        keys = [str(name) for name in file.read("state_dict_keys")]
        unmapped = [k for k in keys if find_rule(k, RULES if is_prompt(k) else BASE_RULES) is None]
        file.require("state_dict_keys", not unmapped, f"names without a rule: {unmapped or 'none'}")
        shapes = dict(zip(keys, file.read("state_dict_shapes"), strict=True))
        wrong = [name for name in names if str(tuple(back[name].shape)) != str(shapes[name])]
        file.require("state_dict_shapes", not wrong, f"prompts of another shape: {wrong or 'none'}")


def _check_prompts(file: GoldenFile, codec: Codec) -> None:
    """Maps inside the generator of instance prompts."""
    modules = {"gp_unet_out": "extractor", "gp_level2": "map2"}
    for match in file.matching(r"(prompt_stb(\d)_layer(\d))(@stride\d+)?"):
        modules[match[1]] = f"stb{2 * int(match[2]) - 1}/layer{match[3]}"
    wanted = {name: f"adapter/g_a/{path}" for name, path in modules.items() if list(_keys(file, name))}
    if not wanted:
        return
    x = file.read_map("x_u8") / np.float32(255)
    _, captured = codec.run_and_capture("analyse", tuple(sorted(wanted.values())), x)
    for name, path in wanted.items():
        file.compare_map(name, np.asarray(captured[path]), SMALL["act"])


def _keys(file: GoldenFile, name: str) -> list[str]:
    return [key for key in file.arrays if re.fullmatch(rf"{name}(@stride\d+)?", key)]


def _check_extractor(file: GoldenFile, variables: Mapping[str, Any], spec: PromptSpec, features: int) -> None:
    """One pass in training mode: statistics of the batch, and what they make of the running ones."""
    if "gp_train_mode/unet_out" not in file:
        return
    extractor = {kind: tree["g_a"]["extractor"] for kind, tree in variables.items()}
    x = jnp.asarray(file.read_map("x_u8") / np.float32(255))
    module = PromptExtractor(spec.extractor_width, features)
    out, updated = jax.jit(lambda v: module.apply(v, x, True, mutable=["batch_stats"]))(extractor)
    file.compare("gp_train_mode/unet_out", to_nchw(out)[:, :, ::8, ::8], SMALL["act"])
    statistics = {"batch_stats": {"g_a": {"extractor": updated["batch_stats"]}}}
    for match in list(file.matching(r"gp_train_mode/new/(.+)")):
        name = f"g_a0_prompt.{match[1]}"
        file.compare(match[0], invert(statistics, RULES, [name])[name], STATISTICS)


def _check_masks(file: GoldenFile) -> None:
    """The reference's mask of a prompted layer, true where it hides a key."""
    for match in list(file.matching(r"mask/prompted_(\d+)x(\d+)_ws(\d+)_shift(\d+)")):
        height, width, window, shift = (int(number) for number in match.groups())
        _, tokens, keys = file.read(match[0]).shape
        down = round((tokens / (keys - tokens)) ** 0.5)
        prompts = Prompts(jnp.zeros((1, height // down, width // down, 1)), reference_mask=True)
        prompt_grid = WindowGrid(height // down, width // down, window // down, shift // down)
        masks = prompted_masks(WindowGrid(height, width, window, shift), prompt_grid, prompts, keys - tokens)
        file.compare(match[0], np.asarray(masks.of_image) == SHIFT_PENALTY, EXACT)


def _check_training(file: GoldenFile, codec: Codec, adapter: Mapping[str, Any]) -> None:
    """Gradients of the adapter's parameters; the base is a constant."""
    base = {name: tree for name, tree in codec.params.items() if name != "adapter"}

    def forward(trained: Any, x: Array, quantise: Any) -> Any:
        variables = {"params": {**base, "adapter": trained["params"]}, **codec.state}
        return codec.model.apply(variables, x, quantise, method="forward")

    check_training(file, {"params": adapter}, RULES, forward, tolerances=TRAINING)
