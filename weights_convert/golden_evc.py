"""Golden checks of EVC's entropy model: both passes, bits, straight-through gradients, masses of its tables."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.entropy import gaussian
from icm_jax.entropy.bit_estimator import BitEstimator, estimator_masses
from icm_jax.entropy.dual_spatial import Coded, DualSpatialPrior, Noise, first_pass
from weights_convert.evc import RULES, prior_from_state_dict
from weights_convert.golden_file import EXACT, GoldenError, GoldenFile, Row, Tolerance, to_nchw
from weights_convert.keymap import convert, invert

LATENT = Tolerance(relative=1e-5)
BITS = Tolerance(absolute=0.02)
SUM = Tolerance(relative=1e-4)
GRADIENT = Tolerance(relative=1e-4)
MASS = Tolerance(absolute=2e-6)  # float32 there: differences of numbers near 1

RATE_WEIGHT = 0.1  # of the bits in the loss whose gradients are stored
SCALE_LEVELS, SCALE_MIN, SCALE_MAX, SCALE_FLOOR = 256, 0.11, 64.0, 1e-5  # of EVC's Gaussian tables
MIN_HALF_WIDTH, MAX_HALF_WIDTH, COVERED = 2, 50, 0.9999


def check_dual_prior(path: Path) -> list[Row]:
    """Compares every array of an `evc_dual_prior_*` file."""
    file = GoldenFile(path)
    model, params = prior_from_state_dict(file.read_group("w/"))
    model = model.clone(exact_tails=False)
    y = jnp.asarray(file.read_map("y"))
    with jax.default_matmul_precision("highest"):
        _check_hyper(file, model, params)
        _check_passes(file, jax.jit(model.apply)({"params": params}, y))
        if "noise_y" in file:
            noise = Noise(jnp.asarray(file.read_map("noise_y")), jnp.asarray(file.read_map("noise_z")))
            noisy = jax.jit(model.apply)({"params": params}, y, noise)
            _check_bits(file, "bits_y_noise", noisy.y_bits)
            _check_bits(file, "bits_z_noise", noisy.z_bits)
            _check_gradients(file, model, params, y, noise)
    return file.finish()


def _check_hyper(file: GoldenFile, model: DualSpatialPrior, params: Any) -> None:
    """What the reference's own z_hat gives."""

    def run(prior: DualSpatialPrior, z_hat: Array) -> tuple[Array, Array]:
        features = prior.h_s(z_hat)
        return features, prior.fusion(features)

    z_hat = jnp.asarray(file.read_map("z_hat"))
    features, fused = model.apply({"params": params}, z_hat, method=run)
    file.compare_map("hyper_dec", features, LATENT)
    file.compare_map("params", fused, LATENT)
    for name, part in zip(("q_step_raw", "scales_raw", "means"), jnp.split(fused, 3, axis=-1), strict=True):
        file.compare_map(name, part, LATENT)


def _check_passes(file: GoldenFile, coded: Coded) -> None:
    for name, latent in (("z", coded.z), ("y_res", coded.residual), ("y_hat", coded.y_hat)):
        file.compare_map(name, latent, LATENT)
    symbols, scales = np.round(coded.residual), np.asarray(coded.scales)
    file.compare_map("z_hat", coded.z_hat, EXACT)
    file.compare_map("y_q", symbols, EXACT)
    file.compare_map("scales_hat", scales, LATENT)
    for step in (0, 1):
        file.compare_map(f"y_q_w_{step}", _folded(symbols, bool(step)), EXACT)
        file.compare_map(f"scales_w_{step}", _folded(scales, bool(step)), LATENT)
    _check_bits(file, "bits_y", coded.y_bits)
    _check_bits(file, "bits_z", coded.z_bits)


def _folded(values: np.ndarray, second: bool) -> np.ndarray:
    """The elements of one pass as the reference codes them: both halves of the channels summed."""
    own = np.where(first_pass(*values.shape[1:]) != second, values, 0)
    half = values.shape[-1] // 2
    return own[..., :half] + own[..., half:]


def _check_bits(file: GoldenFile, name: str, ours: Array) -> None:
    """Bits of every element, then their sum."""
    file.compare_map(name, ours, BITS)
    if name in file:
        theirs, total = file.arrays[name].sum(dtype=np.float64), np.asarray(ours).sum(dtype=np.float64)
        off = abs(total - theirs) / theirs
        file.require(f"{name} (sum)", off <= SUM.relative, f"sum is off by {off:.1e}, limit {SUM.relative}")


def _check_gradients(file: GoldenFile, model: DualSpatialPrior, params: Any, y: Array, noise: Noise) -> None:
    cotangent = jnp.asarray(file.read_map("ste_cot"))

    def loss(params: Any, y: Array) -> Array:
        coded = model.apply({"params": params}, y, noise)
        bits = coded.y_bits.sum() + coded.z_bits.sum()
        return jnp.sum(coded.y_hat * cotangent) + RATE_WEIGHT * bits

    value, (by_params, by_y) = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(params, y)
    file.compare("ste_loss", value, LATENT)
    file.compare("ste_g_y", to_nchw(by_y), GRADIENT)
    names = [match[1] for match in file.matching(r"ste_g/(.+)")]
    for name, gradient in invert(by_params, RULES, names).items():
        file.compare(f"ste_g/{name}", gradient, GRADIENT)


def check_tables(path: Path) -> list[Row]:
    """Masses of EVC's Gaussian tables and of z, and which table a scale belongs to.

    Our streams take the project's 64 Gaussian tables instead of EVC's 256; the masses are the same function.
    """
    file = GoldenFile(path)
    levels = np.geomspace(SCALE_MIN, SCALE_MAX, SCALE_LEVELS)
    file.compare("scale_table", levels, Tolerance(relative=1e-6))
    step = np.log(SCALE_MAX / SCALE_MIN) / (SCALE_LEVELS - 1)
    scales = np.maximum(file.read("index_scales").astype(np.float64), SCALE_FLOOR)
    ours = np.clip(np.log(scales / SCALE_MIN) / step, 0, SCALE_LEVELS - 1)
    _check_indexes(file, ours)
    _check_gaussians(file, levels)
    _check_z(file)
    return file.finish()


def _check_indexes(file: GoldenFile, coordinates: np.ndarray) -> None:
    """Equal but where a scale lies on a boundary up to the rounding of float32."""
    differs = np.trunc(coordinates) != file.read("index")
    near = np.abs(coordinates - np.rint(coordinates)) < 1e-4
    wrong = int((differs & ~near).sum())
    file.require("index", wrong == 0, f"{wrong} of {len(near)} scales have another table")


def _check_gaussians(file: GoldenFile, levels: np.ndarray) -> None:
    widths = np.arange(MIN_HALF_WIDTH, MAX_HALF_WIDTH + 1)
    covered = np.asarray(gaussian.standard_cdf(jnp.asarray(widths / levels[:, None]))) > COVERED
    half = np.where(covered.any(1), widths[covered.argmax(1)], MAX_HALF_WIDTH)
    file.compare("gauss_len", 2 * half + 1, EXACT)
    masses, tails = np.zeros((len(levels), 2 * MAX_HALF_WIDTH + 1)), np.zeros((len(levels), 1))
    for row, tail, level, width in zip(masses, tails, levels, half, strict=True):
        edges = (np.arange(-width, width + 2) - 0.5) / level
        cumulative = np.asarray(gaussian.standard_cdf(jnp.asarray(edges)), np.float64)
        row[: 2 * width + 1] = np.diff(cumulative)
        tail[0] = 2 * cumulative[0]
    theirs = file.read("gauss_pmf")
    used = np.arange(theirs.shape[1]) < 2 * half[:, None] + 1
    file.compare("gauss_pmf", np.where(used, masses[:, : theirs.shape[1]], theirs), MASS)
    file.compare("gauss_tail", tails, MASS)


def _check_z(file: GoldenFile) -> None:
    """Tables of z from the bit estimator of the model beside the file."""
    beside = file.path.with_name(file.path.name.replace("tables", "dual_prior"))
    if beside == file.path or not beside.exists():
        raise GoldenError(f"{file.path.name} has no weights in it; put {beside.name} beside it")
    weights = GoldenFile(beside).read_group("w/bit_estimator_z.")
    arrays = {f"bit_estimator_z.{name}": array for name, array in weights.items()}
    channels = next(iter(arrays.values())).shape[1]
    shapes = jax.eval_shape(
        lambda: BitEstimator(channels).init(jax.random.key(0), jnp.zeros((1, channels)), method="cumulative")
    )
    params = convert(arrays, RULES, {"z_prior": shapes["params"]})["z_prior"]
    masses = estimator_masses(params)
    file.compare("z_offset", np.array([first for first, _, _ in masses]), EXACT)
    file.compare("z_len", np.array([len(inside) for _, inside, _ in masses]), EXACT)
    theirs = file.read("z_pmf").astype(np.float64)
    for row, (_, inside, _) in zip(theirs, masses, strict=True):
        row[: len(inside)] = inside
    file.compare("z_pmf", theirs, MASS)

    def cumulative(x: np.ndarray) -> np.ndarray:
        places = jnp.asarray(np.broadcast_to(x, (len(x), channels)), jnp.float32)
        return np.asarray(BitEstimator(channels).apply({"params": params}, places, method="cumulative"))

    file.compare("z_cdf", cumulative(file.read("z_cdf_x")[:, None]).T, Tolerance(relative=1e-5))
    # The reference lets every channel's upper tail begin where the longest table ends; ours begin at their own.
    first = np.array([[first for first, _, _ in masses]], np.float32)
    longest = max(len(inside) for _, inside, _ in masses)
    tails = cumulative(first - 0.5) + 1 - cumulative(first - 0.5 + longest)
    file.compare("z_tail", tails.T, MASS)
