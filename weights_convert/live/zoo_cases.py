"""Cases of the ledger: the codecs of CompressAI's zoo, whose other side is CompressAI itself."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.models.registry import build
from weights_convert.compressai import ZOO
from weights_convert.live.case import Case, Stages, captured, departure
from weights_convert.live.comparison import Departure

LMBDA, SIDE = 0.01, 64
N, M = 8, 12
ONE_LATENT = (
    "rate, context and decoded image are of one latent; CompressAI's estimate rounds y around its means for the rate "
    "alone (bits of y, rounding)"
)


def _inputs(rng: np.random.Generator, widths: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {
        "x": rng.uniform(size=(1, SIDE, SIDE, 3)),
        "noise_z": rng.uniform(-0.5, 0.5, (1, SIDE // 64, SIDE // 64, widths[0])),
        "noise_y": rng.uniform(-0.5, 0.5, (1, SIDE // 16, SIDE // 16, widths[-1])),
    }


def _forward(spec: Any, params: Any, inputs: Mapping[str, Array]) -> Stages:
    x, network = inputs["x"], build(spec)
    shapes = {inputs[name].shape: inputs[name] for name in ("noise_z", "noise_y")}
    latents, outputs = captured(
        network, params, 2, x, lambda value, centre: value + shapes[value.shape], method="forward"
    )
    stages = {}
    for path, out in outputs.items():
        transform, _, layer = path.partition("/")
        if transform in ("g_a", "h_a", "h_s", "g_s"):
            stages[transform + layer.lstrip("abcdefghijklmnopqrstuvwxyz")] = out
    likelihoods = {"y_likelihoods": latents.y_likelihoods, "z_likelihoods": latents.z_likelihoods}
    likelihoods = {name: p for name, p in likelihoods.items() if p.size}
    bits = -sum(jnp.log2(p).sum() for p in likelihoods.values())
    bpp, mse = bits / (x.shape[0] * x.shape[1] * x.shape[2]), jnp.mean((latents.x_hat - x) ** 2)
    scores = {"bpp": bpp, "mse": mse, "loss": LMBDA * 255**2 * mse + bpp}
    return {**stages, **likelihoods, "x_hat": latents.x_hat, **scores}


def _one_latent(spec: Any, params: Any, inputs: Mapping[str, Array]) -> list[Departure]:
    def bits(**options: bool) -> Array:
        latents = build(spec).apply({"params": params}, inputs["x"], **options)
        return -jnp.log2(latents.y_likelihoods).sum()

    return [departure(ONE_LATENT, bits(), bits(reference=True))]


def _case(name: str) -> Case:
    widths = (N,) if name.startswith("cheng2020") else (N, M)

    def reference() -> Any:
        from weights_convert.live.torch_zoo import ZooCodec

        return ZooCodec(name, *widths)

    case = Case(
        f"{name} of CompressAI, {' and '.join(map(str, widths))} channels, image {SIDE}×{SIDE}, noise for rounding",
        reference,
        ZOO[name],
        _forward,
        _drawn(widths),
    )
    has_context = name == "mbt2018" or name.startswith("cheng2020")
    return case._replace(departures=_one_latent) if has_context else case


def _drawn(widths: tuple[int, ...]) -> Callable[[np.random.Generator], dict[str, np.ndarray]]:
    return lambda rng: _inputs(rng, widths)


ZOO_CASES = {name: _case(name) for name in ZOO}
