"""Golden checks of All-in-One's aggregation, fusion and heads against an independent PyTorch implementation.

Files hold the features of every task at three scales, as adaptors give them, and everything after that.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from icm_jax import paths
from icm_jax.adapters.all_in_one import DECODER_PLACES, AllInOneSpec, TaskDecoder, TaskFeatures
from icm_jax.adapters.task_aggregation import TaskAggregation
from weights_convert.golden_file import GoldenFile, Row, Tolerance
from weights_convert.keymap import CONV, DENSE, Rule, find_rule

VALUE = Tolerance(absolute=1e-4)
PLACES = DECODER_PLACES["after"]  # from coarse to fine, as the files number scales

RULES = (
    *(
        rule
        for scale, place in enumerate(PLACES)
        for rule in (
            Rule(rf"tam\.{scale}\.(fc[12])\.weight", rf"tam_{place}/\1/kernel", DENSE),
            Rule(rf"tam\.{scale}\.(fc[12])\.bias", rf"tam_{place}/\1/bias"),
        )
    ),
    Rule(r"msf\.([qkv])\.weight", r"msf_shared/\1/kernel", CONV),
    Rule(r"msf\.([qkv])\.bias", r"msf_shared/\1/bias"),
    Rule(r"head\.(\d+)\.weight", r"head_task\1/kernel", CONV),
    Rule(r"head\.(\d+)\.bias", r"head_task\1/bias"),
)


def check_all_in_one(path: Path) -> list[Row]:
    """Compares every array of an `aio_recommended_*` file."""
    file = GoldenFile(path)
    spec = AllInOneSpec(
        tasks=tuple(f"task{k}" for k in range(int(file.read("N")))),
        tam_hidden=int(file.read("R")),
        msf_width=int(file.read("d")),
        msf_window=int(file.read("window")),
    )
    params = _params(file)
    with jax.default_matmul_precision("highest"):
        features = [_check_aggregation(file, scale, spec, params) for scale in range(len(PLACES))]
        _check_fusion(file, spec, params, features)
    return file.finish()


def _params(file: GoldenFile) -> dict[str, Any]:
    """The decoder's parameters without those of its adaptors, which the file does not hold."""
    arrays = file.read_group("sd/")
    found = {name: find_rule(name, RULES) for name in arrays}
    unmapped = [name for name, rule in found.items() if rule is None]
    file.require("sd/*", not unmapped, f"{len(arrays)} arrays, names without a rule: {unmapped or 'none'}")
    leaves = {
        rule[1]: rule[0].layout.forward(arrays[name]) for name, rule in found.items() if rule and rule[1]
    }
    return paths.unflatten({path: jnp.asarray(array) for path, array in leaves.items()})


def _check_aggregation(
    file: GoldenFile, scale: int, spec: AllInOneSpec, params: dict[str, Any]
) -> TaskFeatures:
    """Weights and shared features of one scale. Returns the features of every task after it.

    Files do not say what of the tasks' features is the input of their adaptors: taken as none of it.
    """
    features = [jnp.asarray(file.read_map(f"F{scale}_{k}")) for k in range(len(spec.tasks))]
    means = [one.mean((1, 2), keepdims=True) for one in features]
    module = TaskAggregation(spec.tam_hidden, spec.softmax_axis, spec.phi)
    shared, state = module.apply(
        {"params": params[f"tam_{PLACES[scale]}"]},
        jnp.zeros_like(features[0]),
        features,
        means,
        mutable=["intermediates"],
    )
    file.compare(f"attn{scale}", state["intermediates"]["weights"][0][:, 0, 0], VALUE)
    file.compare_map(f"S{scale}", shared, VALUE)
    return TaskFeatures(shared, features)


def _check_fusion(
    file: GoldenFile, spec: AllInOneSpec, params: dict[str, Any], scales: list[TaskFeatures]
) -> None:
    """What the fusion adds on the coarse grid, the fused features, and what each head makes of them."""
    decoder = TaskDecoder(spec)
    black = jnp.zeros((1, *(2 * size for size in scales[-1].common.shape[1:3]), 3))
    residuals = decoder.apply({"params": params}, black, scales, method="pictures")
    for k, name in enumerate(spec.tasks):
        fused, state = decoder.apply(
            {"params": params}, k, name, scales, method="fuse", mutable=["intermediates"]
        )
        file.compare_map(f"msf_lowres_{k}", state["intermediates"]["msf_shared"]["coarse"][0], VALUE)
        file.compare_map(f"msf_out_{k}", fused, VALUE)
        file.compare_map(f"residual_{k}", residuals[k], VALUE)
