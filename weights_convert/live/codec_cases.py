"""Cases of the ledger: parts of codecs for machines, an SFMA of AdaptICMH and the entropy model of EVC."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.adapters.sfma import Sfma
from icm_jax.entropy.dual_spatial import DualSpatialPrior, Noise
from weights_convert import evc
from weights_convert.live.case import Case, Stages, captured, departure, normal
from weights_convert.live.comparison import Departure
from weights_convert.network_map import NetworkMap
from weights_convert.sfma import branches, sfma_rules

SFMA = (24, 8)  # width, middle
EVC_WIDTH = 16


def _sfma(network: Sfma, params: Any, inputs: Mapping[str, Array]) -> Stages:
    change, layers = captured(network, params, 1, inputs["x"], method="change")
    y = inputs["x"] + change.features()
    return {**layers, **branches(change, params), "y": y, "loss": jnp.mean((y - inputs["target"]) ** 2)}


def _sfma_shapes(network: Sfma) -> Any:
    return _shapes(network, (1, 4, 4, SFMA[0]))


def _sfma_reference() -> Any:
    from weights_convert.live.torch_sfma import Sfma as Reference

    return Reference(*SFMA)


def _evc(network: DualSpatialPrior, params: Any, inputs: Mapping[str, Array]) -> Stages:
    y, noise = inputs["y"], Noise(inputs["noise_y"], inputs["noise_z"])
    coded = network.apply({"params": params}, y, noise)
    shown = {name: getattr(coded, name) for name in ("z", "scales", "residual", "y_hat", "y_bits", "z_bits")}
    loss = coded.y_bits.mean() + coded.z_bits.mean() + jnp.mean((coded.y_hat - y) ** 2)
    return {**shown, "loss": loss}


def _evc_departures(network: DualSpatialPrior, params: Any, inputs: Mapping[str, Array]) -> list[Departure]:
    """Of the bits of y and z together, in float32."""
    bits = {
        exact: [
            stage.ravel()
            for name, stage in _evc(network.clone(exact_tails=exact), params, inputs).items()
            if name.endswith("_bits")
        ]
        for exact in (True, False)
    }
    what = "probabilities keep their digits in the upper tail; in EVC's code a difference of numbers near 1 loses them"
    return [departure(what, *(jnp.concatenate(bits[exact]) for exact in (True, False)))]


def _evc_shapes(network: DualSpatialPrior) -> Any:
    return _shapes(network, (1, 4, 4, network.channels))


def _evc_reference() -> Any:
    from weights_convert.live.torch_evc import DualSpatialPrior as Reference

    return Reference(EVC_WIDTH)


def _evc_inputs(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"noise_y": (1, 8, 12, EVC_WIDTH), "noise_z": (1, 2, 3, EVC_WIDTH)}
    noise = {name: rng.uniform(-0.5, 0.5, shape) for name, shape in shapes.items()}
    return {"y": rng.normal(0, 3, shapes["noise_y"]), **noise}


def _shapes(network: Any, shape: tuple[int, ...]) -> Any:
    x = jax.ShapeDtypeStruct(shape, np.float32)
    return jax.eval_shape(network.init, jax.random.key(0), x)["params"]


SFMA_CASE = Case(
    "one SFMA of AdaptICMH, 24 channels, 8 inside, map 12×9",
    _sfma_reference,
    NetworkMap(lambda shapes: Sfma(shapes["s_down1.weight"][0]), lambda _: sfma_rules("", ""), _sfma_shapes),
    _sfma,
    normal(x=(1, 12, 9, SFMA[0]), target=(1, 12, 9, SFMA[0])),
)
EVC_CASE = Case(
    "the dual spatial prior of EVC, 16 channels, map 8×12, rounded straight-through, rates of noisy values",
    _evc_reference,
    NetworkMap(
        lambda shapes: DualSpatialPrior(shapes["bit_estimator_z.f1.h"][1]), lambda _: evc.RULES, _evc_shapes
    ),
    _evc,
    _evc_inputs,
    departures=_evc_departures,
)
