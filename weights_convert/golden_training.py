"""Golden checks of training: losses and gradients of a forward pass with given noise.

Drop-path is off and nothing is random: the file holds the noise that takes the place of rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.models.latent_codec import Latents
from weights_convert.golden_file import GoldenFile, Tolerance, to_nchw
from weights_convert.keymap import Rule, find_rule, invert

# Here the likelihoods come from our own y, off by 3e-5: times their steepest slope 1 / (0.11 √2π), near 3.6.
TOLERANCES = {
    "likelihood": Tolerance(absolute=3 * 3e-5 * 3.6),
    "x_hat": Tolerance(absolute=3 * 4e-5),
    "loss": Tolerance(absolute=3 * 2e-5, relative=3 * 4e-7),  # 2e-5 at the published fixture's loss of 54
    "bpp": Tolerance(relative=1e-5),
    "mse": Tolerance(relative=1e-5),
    "gradient": Tolerance(relative=3 * 2e-4),
}

Params = Mapping[str, Any]
Quantise = Callable[[Array, Array], Array]


class Losses(NamedTuple):
    """What the trainer sums: loss = lmbda · 255² · mse + bpp."""

    loss: Array
    bpp: Array
    mse: Array
    latents: Latents


def check_training(
    file: GoldenFile,
    params: Params,
    rules: Sequence[Rule],
    forward: Callable[[Params, Array, Quantise], Latents],
    auxiliary_loss: Callable[[Params], Array] | None = None,
    tolerances: Mapping[str, Tolerance] = TOLERANCES,
) -> None:
    """Compares train/*, grad/* and gradnorm/* of the file.

    Args:
        params: what is differentiated.
        rules: the key map of `params`.
        forward: (params, x, quantise) -> latents.
        auxiliary_loss: params -> loss of the prior's quantiles, where they are trained.
    """
    x = jnp.asarray(file.read_map("x_u8") / np.float32(255))
    noise = [file.read_map("noise/z"), file.read_map("noise/y")]
    lmbda = float(file.read("train/lambda"))

    def losses(params: Params, x: Array) -> tuple[Array, Losses]:
        latents = forward(params, x, _noise_in_turn(noise))
        bits = -jnp.log2(latents.y_likelihoods).sum() - jnp.log2(latents.z_likelihoods).sum()
        bpp = bits / (x.shape[0] * x.shape[1] * x.shape[2])
        mse = jnp.mean((latents.x_hat - x) ** 2)
        loss = lmbda * 255**2 * mse + bpp
        return loss, Losses(loss, bpp, mse, latents)

    gradients, found = jax.jit(jax.grad(losses, has_aux=True))(params, x)
    _check_values(file, found, tolerances)
    _check_gradients(file, gradients, rules, tolerances["gradient"])
    if auxiliary_loss is None:
        return
    auxiliary, auxiliary_gradients = jax.jit(jax.value_and_grad(auxiliary_loss))(params)
    file.compare("train/aux_loss", auxiliary, tolerances["loss"])
    if "train/aux_grad_quantiles" in file:
        quantiles = auxiliary_gradients["z_prior"]["quantiles"]
        file.compare("train/aux_grad_quantiles", quantiles, tolerances["gradient"])


def _noise_in_turn(noise: Sequence[np.ndarray]) -> Quantise:
    """A quantiser that adds these arrays one after another: a forward pass quantises z first, then y."""
    remaining = iter(noise)
    return lambda value, centre: value + jnp.asarray(next(remaining))


def _check_values(file: GoldenFile, found: Losses, tolerances: Mapping[str, Tolerance]) -> None:
    latents = found.latents
    file.compare("train/y_likelihoods", to_nchw(latents.y_likelihoods), tolerances["likelihood"])
    file.compare("train/z_likelihoods", to_nchw(latents.z_likelihoods), tolerances["likelihood"])
    x_hat = np.asarray(latents.x_hat, np.float64)
    file.compare("train/x_hat_mean_std", np.array([x_hat.mean(), x_hat.std(ddof=1)]), tolerances["x_hat"])
    for name, value in (("loss", found.loss), ("bpp", found.bpp), ("mse", found.mse)):
        file.compare(f"train/{name}", value, tolerances[name])


def _check_gradients(
    file: GoldenFile, gradients: Params, rules: Sequence[Rule], tolerance: Tolerance
) -> None:
    """Every gradient and norm whose parameter the key map knows; the others stay behind as unknown arrays."""
    names = {match[1] for match in file.matching(r"grad(?:norm)?/(.+)") if _is_mapped(match[1], rules)}
    theirs = invert(gradients, rules, names)
    note = f"limit: {tolerance.relative:.0e} of the largest entry"
    for name in sorted(names):
        file.compare(f"grad/{name}", theirs[name], tolerance, note)
        norm = np.linalg.norm(theirs[name].astype(np.float64))
        file.compare(f"gradnorm/{name}", norm, tolerance, note)


def _is_mapped(name: str, rules: Sequence[Rule]) -> bool:
    found = find_rule(name, rules)
    return found is not None and found[1] is not None
