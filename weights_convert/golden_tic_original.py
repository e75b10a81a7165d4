"""Golden checks of the original TIC: each stage is fed with the reference's own input of that stage.

    x ─► y    stored y ─► z, y_hat = round(y)    stored z_hat ─► params    stored y_hat ─► context, x_hat
    stored params and y_hat ─► scales, means     stored y, means ─► y_hat_meanshift ─► likelihoods

The reference rates another latent (y_hat_meanshift) than it decodes (y_hat); see `icm_jax.coding.context`.
"""

from pathlib import Path

import jax
import numpy as np

from icm_jax.entropy import gaussian
from icm_jax.models.tic_original import TICOriginal
from weights_convert.golden_file import GoldenFile, Row, Tolerance
from weights_convert.golden_tic import TOLERANCES, check_rates, check_rounding, check_state_dict
from weights_convert.reference_codec import Codec, bits
from weights_convert.tic_original import RULES, tic_original_from_state_dict

# Sums over 25 tokens, near 100 in size: their rounding grows with them. Tighter than other feature maps.
CONTEXT = Tolerance(relative=1.5e-6)


def check_tic_original(path: Path) -> list[Row]:
    """Compares every array of a `tic_original_*` file."""
    file = GoldenFile(path)
    state_dict = file.read_group("sd/")
    spec, params = tic_original_from_state_dict(state_dict)
    codec = Codec(TICOriginal(spec), params)
    check_state_dict(file, codec, RULES, state_dict)
    # A GPU would otherwise multiply float32 matrices with 10-bit mantissas.
    with jax.default_matmul_precision("highest"):
        _check_transforms(file, codec)
        _check_gaussians(file, codec)
    return file.finish()


def _check_transforms(file: GoldenFile, codec: Codec) -> None:
    """The four transforms and the roundings between them."""
    x = file.read_map("x_u8") / np.float32(255)
    file.compare_map("y", codec.run("analyse", x), TOLERANCES["y"])
    y = file.read_map("y")
    file.compare_map("z", codec.run("hyper_analyse", y), TOLERANCES["z"])
    check_rounding(file, "z_hat", file.read_map("z"), codec.medians())
    check_rounding(file, "y_hat", y, np.zeros(1, np.float32))
    params = codec.run("hyper_synthesise", file.read_map("z_hat"))
    file.compare_map("params", params, TOLERANCES["scales"])
    file.compare_map("x_hat", codec.run("synthesise", file.read_map("y_hat")), TOLERANCES["x_hat"])


def _check_gaussians(file: GoldenFile, codec: Codec) -> None:
    """The context model, what it makes of h_s, and the rates."""
    y_hat, z_hat, params = (file.read_map(name) for name in ("y_hat", "z_hat", "params"))
    file.compare_map("ctx_params", codec.run("context_features", y_hat), CONTEXT)
    scales, means = codec.run("gaussians", params, y_hat)
    file.compare_map("scales", scales, TOLERANCES["scales"])
    file.compare_map("means", means, TOLERANCES["means"])

    scales, means = file.read_map("scales"), file.read_map("means")
    check_rounding(file, "y_hat_meanshift", file.read_map("y"), means)
    rated = file.read_map("y_hat_meanshift")
    y_likelihoods = np.asarray(jax.jit(gaussian.likelihood)(rated, scales, means))
    z_likelihoods = np.asarray(codec.run("z_likelihoods", z_hat))
    file.compare_map("y_likelihoods", y_likelihoods, TOLERANCES["likelihood"])
    file.compare_map("z_likelihoods", z_likelihoods, TOLERANCES["likelihood"])
    batch, height, width, _ = file.read_map("x_u8").shape
    check_rates(file, bits(y_likelihoods), bits(z_likelihoods), batch * height * width)
