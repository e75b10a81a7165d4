"""Golden checks of LoRA and DoRA against peft: single layers, and DoRA inside a small EVA-02."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from icm_jax import paths
from icm_jax.adapters import low_rank
from icm_jax.adapters.low_rank import LowRankSpec
from icm_jax.layers.dense import Dense
from icm_jax.models.eva02 import EVA02
from weights_convert.golden_eva02 import read_model, read_weights
from weights_convert.golden_file import GoldenFile, Row, Tolerance
from weights_convert.keymap import DENSE, Rule, convert, invert

CLOSE = Tolerance(relative=1e-5)
GRADIENT = Tolerance(relative=1e-4)
EVA_ALPHA = 8.0  # of the adapters in the EVA-02 file, which does not say

LAYER = r"blocks\.(\d+)\.attn\.(\w+)\."
RULES = (
    Rule(LAYER + r"lora_A\.weight", r"blocks_\1/attn/\2/a", DENSE),
    Rule(LAYER + r"lora_B\.weight", r"blocks_\1/attn/\2/b", DENSE),
    Rule(LAYER + r"lora_magnitude_vector\.weight", r"blocks_\1/attn/\2/m"),
)


def check_linear(path: Path) -> list[Row]:
    """Outputs, gradients, initial magnitudes and merged weights of single layers."""
    file = GoldenFile(path)
    with jax.default_matmul_precision("highest"):
        for match in list(file.matching(r"(c\d+_)in_out_r_alpha_bias_dora")):
            _check_case(file, match[1], *(int(value) for value in file.read(match[0])))
    return file.finish()


def _check_case(
    file: GoldenFile, case: str, c_in: int, c_out: int, rank: int, alpha: int, bias: int, dora: int
) -> None:
    spec = LowRankSpec(rank, alpha, magnitude=bool(dora), targets=("layers_0/kernel",))
    base = {"layers_0": {"kernel": jnp.asarray(file.read(f"{case}W").T)}}
    if bias:
        base["layers_0"]["bias"] = jnp.asarray(file.read(f"{case}b"))
    layer = nn.Sequential([Dense(c_out, use_bias=bool(bias))])
    x, cotangent = (jnp.asarray(file.read(f"{case}{name}")) for name in ("x", "cot"))

    @jax.jit
    def run(adapters: Any, x: Array) -> Array:
        return jnp.asarray(layer.apply({"params": base, "adapters": low_rank.bind(spec, adapters)}, x))

    fresh = low_rank.init(jax.random.key(0), spec, base)
    file.compare(f"{case}y_init", run(fresh, x), CLOSE)
    file.compare(f"{case}m_init", fresh["layers_0"].get("m", 0), CLOSE)
    names = {"a": "A", "b": "B", "m": "m"} if dora else {"a": "A", "b": "B"}
    adapters = {"layers_0": {ours: jnp.asarray(file.read(f"{case}{name}").T) for ours, name in names.items()}}
    file.compare(f"{case}y", run(adapters, x), CLOSE)
    gradients, by_x = jax.grad(lambda *args: jnp.sum(run(*args) * cotangent), argnums=(0, 1))(adapters, x)
    for ours, name in names.items():
        file.compare(f"{case}g_{name}", np.asarray(gradients["layers_0"][ours]).T, CLOSE)
    file.compare(f"{case}g_x", by_x, CLOSE)
    merged = low_rank.merge(spec, base, adapters).params["layers_0"]["kernel"]
    file.compare(f"{case}W_merged", np.asarray(merged).T, CLOSE)


def check_eva_adapters(path: Path) -> list[Row]:
    """Tokens and gradients of a small EVA-02 with DoRA on its queries, keys and values."""
    file = GoldenFile(path)
    spec, base = read_model(file, read_weights(file))
    arrays = file.read_group("a/")
    rank = next(len(array) for name, array in arrays.items() if name.endswith("lora_A.weight"))
    adapter_spec = LowRankSpec(rank, EVA_ALPHA)
    shapes = jax.eval_shape(lambda: low_rank.init(jax.random.key(0), adapter_spec, base))
    adapters = convert(arrays, RULES, shapes)
    x, cotangent = jnp.asarray(file.read_map("x")), jnp.asarray(file.read("cot"))

    def scalar(adapters: paths.Tree) -> tuple[Array, Array]:
        bound = low_rank.bind(adapter_spec, adapters)
        y = EVA02(spec).apply({"params": base, "adapters": bound}, x).tokens
        return jnp.sum(y * cotangent), y

    with jax.default_matmul_precision("highest"):
        gradients, y = jax.jit(jax.grad(scalar, has_aux=True))(adapters)
    file.compare("y", y, Tolerance(relative=1e-4))
    names = [match[1] for match in file.matching(r"g/(.+)")]
    for name, gradient in invert(gradients, RULES, names).items():
        file.compare(f"g/{name}", gradient, GRADIENT)
    return file.finish()
