"""Golden checks of SFMA alone (values and gradients) and of TIC with six of them."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax import paths
from icm_jax.adapters.sfma import Sfma
from icm_jax.entropy import gaussian
from icm_jax.models.tic import TIC
from weights_convert import golden_tic
from weights_convert.golden_file import GoldenFile, Row, Tolerance, to_nchw
from weights_convert.golden_tic import check_rounding
from weights_convert.keymap import convert, invert
from weights_convert.reference_codec import Codec
from weights_convert.sfma import RULES, branches, is_sfma, sfma_rules, tic_sfma_from_state_dict

ACTIVATION = Tolerance(absolute=1e-4)
GRADIENT = Tolerance(relative=1e-4)
HALF = Tolerance(absolute=1e-3, relative=1e-3)  # stored in float16
MODULE_RULES = sfma_rules("", "")


def check_sfma(path: Path) -> list[Row]:
    """Compares every array of an `sfma_*` file: one module on maps of even and odd sizes."""
    file = GoldenFile(path)
    state_dict = file.read_group("sd/")
    middle, features = state_dict["s_down1.weight"].shape[:2]
    module = Sfma(middle)
    x = jax.ShapeDtypeStruct((1, 4, 4, features), jnp.float32)
    expected = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    params = convert(state_dict, MODULE_RULES, expected)

    with jax.default_matmul_precision("highest"):
        for match in list(file.matching(r"x(\d+)")):
            _check_case(file, match[1], module, params)
    return file.finish()


def _check_case(file: GoldenFile, case: str, module: Sfma, params: Any) -> None:
    """One input map: output, branches, gate, and gradients of sum(y · cotangent)."""

    @jax.jit
    def run(params: Any, x: Array, cotangent: Array) -> Any:
        def forward(params: Any, x: Array) -> tuple[Array, Any]:
            change, state = module.apply(
                {"params": params}, x, capture_intermediates=True, mutable="intermediates", method="change"
            )
            gate = state["intermediates"]["f_inter"]["__call__"][0]
            return x + change.features(), {**branches(change, params), "f_inter": gate}

        y, pull_back, inside = jax.vjp(forward, params, x, has_aux=True)
        return y, inside, pull_back(cotangent)

    x, cotangent = (jnp.asarray(file.read_map(f"{name}{case}")) for name in ("x", "cot"))
    y, inside, (grad_params, grad_x) = run(params, x, cotangent)
    for name, ours in (
        ("y", y),
        ("spatial", inside["s_up"]),
        ("freq", inside["f_up"]),
        ("amp_gate", jax.nn.sigmoid(inside["f_inter"])),
        ("grad_x", grad_x),
    ):
        file.compare(f"{name}{case}", to_nchw(ours), ACTIVATION)
    names = [match[1] for match in file.matching(rf"grad{case}/(.+)")]
    for name, gradient in invert(grad_params, MODULE_RULES, names).items():
        file.compare(f"grad{case}/{name}", gradient, GRADIENT)


def check_tic_sfma(path: Path) -> list[Row]:
    """Compares every array of a `tic_sfma_*` file, each stage fed with the reference's own input of that stage."""
    file = GoldenFile(path)
    state_dict = file.read_group("sd/")
    found = tic_sfma_from_state_dict(state_dict)
    params = paths.merge(found.base_params, {"adapter": found.variables["params"]})
    codec = Codec(TIC(found.base, found.spec.build(found.base)), params)
    names = [name for name in state_dict if is_sfma(name)]
    back = invert(found.variables["params"], RULES, names)
    changed = [name for name in names if not np.array_equal(state_dict[name], back[name])]
    file.require("sd/*", not changed, f"{len(names)} arrays converted and back, changed: {changed or 'none'}")
    with jax.default_matmul_precision("highest"):
        _check_stages(file, codec)
    return file.finish()


def _check_stages(file: GoldenFile, codec: Codec) -> None:
    x = file.read_map("image_u8") / np.float32(255)
    y, z_hat, y_hat = (file.read_map(name) for name in ("y", "z_hat", "y_hat"))
    file.compare_map("y", codec.run("analyse", x), ACTIVATION)
    file.compare_map("z", codec.run("hyper_analyse", y), ACTIVATION)
    check_rounding(file, "z_hat", file.read_map("z"), codec.medians())
    scales, means = codec.run("hyper_synthesise", z_hat)
    file.compare_map("scales", scales, ACTIVATION)
    file.compare_map("means", means, ACTIVATION)
    scales, means = file.read_map("scales"), file.read_map("means")
    check_rounding(file, "y_hat", y, means)
    x_hat = np.asarray(codec.run("synthesise", y_hat))
    file.compare_map("x_hat", x_hat, HALF)
    crop = file.read("x_hat_crop").shape[2:]
    file.compare_map("x_hat_crop", x_hat[:, : crop[0], : crop[1]], ACTIVATION)
    likelihood = golden_tic.TOLERANCES["likelihood"]
    file.compare_map("lik_y", jax.jit(gaussian.likelihood)(y_hat, scales, means), likelihood)
    file.compare_map("lik_z", codec.run("z_likelihoods", z_hat), likelihood)
