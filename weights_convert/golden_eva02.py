"""Golden checks of EVA-02 against timm: every block, pooled features, gradients, taps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from icm_jax.layers.rotary import rotary_table
from icm_jax.layers.swiglu import LAYER_NORM_EPSILON, SwiGLU
from icm_jax.models.eva02 import EVA02, Block, EVA02Spec, with_class_token
from weights_convert.golden_file import GoldenError, GoldenFile, Row, Tolerance
from weights_convert.golden_hash import read_hashed_weights
from weights_convert.keymap import convert, invert
from weights_convert.timm_eva02 import HEAD_DIM, RULES, eva02_from_state_dict, expected_params

TOLERANCES = {
    "part": Tolerance(relative=2e-5),
    "network": Tolerance(relative=1e-4),  # blocks of a whole net
    "gradient": Tolerance(relative=1e-4),
}


def check_eva02(path: Path) -> list[Row]:
    """Compares every array of an `eva_tiny_*`, `eva_lstyle_*` or `eva_dynamic_*` file."""
    file = GoldenFile(path)
    weights = read_weights(file)
    with jax.default_matmul_precision("highest"):
        _check_forward(file, *read_model(file, weights), weights)
    return file.finish()


def read_weights(file: GoldenFile) -> dict[str, np.ndarray]:
    """Weights of a file, of its description of them, or of the file of the same network beside it."""
    if "hash_base" in file:
        return read_hashed_weights(file)
    if any(name.startswith("w/") for name in file.arrays):
        return file.read_group("w/")
    beside = file.path.with_name(file.path.name.replace("intermediates", "small"))
    if beside == file.path or not beside.exists():
        raise GoldenError(f"{file.path.name} has no weights in it; put {beside.name} beside it")
    return GoldenFile(beside).read_group("w/")


def read_model(file: GoldenFile, weights: Mapping[str, np.ndarray]) -> tuple[EVA02Spec, dict[str, Any]]:
    """Specification and parameters; heads from the rotary table, the grid from the image where it fits."""
    width, _, _, patch = weights["patch_embed.proj.weight"].shape
    # Heads of the published 64 channels, but never fewer than 2, unless a table in the file tells otherwise.
    heads = width * 2 // file.arrays["rope"].shape[-1] if "rope" in file else max(2, width // HEAD_DIM)
    height, columns = (side // patch for side in file.arrays["x"].shape[-2:])
    fits = height * columns + 1 == weights["pos_embed"].shape[1]
    return eva02_from_state_dict(weights, source_grid=(height, columns) if fits else None, heads=heads)


def check_large_block(path: Path) -> list[Row]:
    """One block of the true width, its two branches and its rotary table."""
    file = GoldenFile(path)
    weights = {f"blocks.0.{name}": array for name, array in read_hashed_weights(file).items()}
    x = jnp.asarray(file.read("x"))
    rows, cols = (int(side) for side in file.read("grid"))
    head_dim = file.arrays["rope"].shape[-1] // 2
    table = rotary_table((rows, cols), head_dim)
    file.compare("rope", np.concatenate(table, axis=-1), TOLERANCES["part"])
    spec = EVA02Spec(x.shape[-1], 1, x.shape[-1] // head_dim, "blocks.0.mlp.norm.weight" in weights)
    expected = {"blocks_0": expected_params(spec)["blocks_0"]}
    params = convert(weights, RULES, expected)["blocks_0"]
    block = Block(spec.heads, spec.sub_ln)

    @jax.jit
    def run(params: Any, x: Array) -> tuple[Array, Array]:
        (y, _), state = block.apply(
            {"params": params}, x, with_class_token(table), 1, None, capture_intermediates=True
        )
        return y, state["intermediates"]["attn"]["__call__"][0]

    with jax.default_matmul_precision("highest"):
        y, attention = run(params, x)
        normed = _layer_norm(x, params["norm2"]["scale"], params["norm2"]["bias"])
        branch = SwiGLU(spec.sub_ln).apply({"params": params["mlp"]}, normed)
    file.compare("y", y, TOLERANCES["part"])
    file.compare("attn_branch", attention, TOLERANCES["part"])
    file.compare("mlp_branch_of_x", branch, TOLERANCES["part"])
    return file.finish()


def _check_forward(
    file: GoldenFile, spec: EVA02Spec, params: dict[str, Any], weights: Mapping[str, np.ndarray]
) -> None:
    model, x = EVA02(spec), jnp.asarray(file.read_map("x"))

    @jax.jit
    def run(params: Any, x: Array) -> Any:
        features, state = model.apply(
            {"params": params}, x, taps=tuple(range(spec.depth)), capture_intermediates=_is_recorded
        )
        return features, state["intermediates"]

    features, inner = run(params, x)
    if "rope" in file:
        table = rotary_table((x.shape[1] // spec.patch, x.shape[2] // spec.patch), spec.head_dim)
        file.compare("rope", np.concatenate(table, axis=-1), TOLERANCES["part"])
    file.compare("patch_embed", inner["patch_embed"]["__call__"][0], TOLERANCES["part"])
    file.compare("tokens_in", inner["embed"][0], TOLERANCES["part"])
    for i, feature_map in enumerate(features.maps):
        file.compare(f"block{i}", inner[f"blocks_{i}"]["__call__"][0][0], TOLERANCES["network"])
        file.compare_map(f"i{i}_nchw", np.asarray(feature_map), TOLERANCES["network"])
    file.compare("final", features.tokens, TOLERANCES["network"])
    file.compare("out_nlc", features.tokens, TOLERANCES["network"])
    _check_head(file, features.tokens, weights)
    if "cot" in file:
        _check_gradients(file, model, params, x)


def _is_recorded(module: nn.Module, method: str) -> bool:
    return (method == "__call__" and len(module.path) == 1) or method == "embed"


def _check_head(file: GoldenFile, tokens: Array, weights: Mapping[str, np.ndarray]) -> None:
    """What timm's classifier makes of the features: the mean of all but the class token, normed."""
    if "pooled" in file or "logits" in file:
        mean = tokens[:, 1:].mean(axis=1)
        pooled = _layer_norm(mean, weights["fc_norm.weight"], weights["fc_norm.bias"])
        file.compare("pooled", pooled, TOLERANCES["network"])
        if "logits" in file:
            file.compare(
                "logits", pooled @ weights["head.weight"].T + weights["head.bias"], TOLERANCES["network"]
            )


def _layer_norm(x: Array, scale: np.ndarray, bias: np.ndarray) -> Array:
    norm = nn.LayerNorm(epsilon=LAYER_NORM_EPSILON)
    return jnp.asarray(norm.apply({"params": {"scale": scale, "bias": bias}}, x))


def _check_gradients(file: GoldenFile, model: EVA02, params: Any, x: Array) -> None:
    """Gradients of sum(last block · cot) for the image and the parameters the file names."""
    cotangent = jnp.asarray(file.read("cot"))

    def scalar(params: Any, x: Array) -> Array:
        return jnp.sum(model.apply({"params": params}, x).tokens * cotangent)

    by_params, by_x = jax.jit(jax.grad(scalar, argnums=(0, 1)))(params, x)
    file.compare_map("g/x", np.asarray(by_x), TOLERANCES["gradient"])
    names = [match[1] for match in file.matching(r"g/(.+)")]
    for name, gradient in invert(by_params, RULES, names).items():
        file.compare(f"g/{name}", gradient, TOLERANCES["gradient"])
