"""A case of the ledger: the same function of weights and inputs on both sides.

Both give their stages in the order of the data, as a dictionary that ends in the scalar `loss`; maps are [b, c, h, w]
there and [b, h, w, c] here. Weights are drawn there and come here through the key map of the source.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import Array

from weights_convert.live.comparison import FLOAT32, STAGE_LIMITS, Departure
from weights_convert.live.difference import difference
from weights_convert.network_map import NetworkMap

Stages = dict[str, Array]


class Case(NamedTuple):
    """A network on both sides.

    Attributes:
        title: what it is, with its sizes.
        reference: makes the PyTorch module; only here is torch imported. Called with the inputs by name.
        map: its state dict -> our network and parameters.
        forward: (network, params, inputs) -> stages.
        inputs: arrays [b, h, w, c] or [b, …] from a generator.
        float32_limit: relative difference that stages may have in float32.
        departures: (network, params, inputs) -> where our defaults are others than the publisher's.
    """

    title: str
    reference: Callable[[], Any]
    map: NetworkMap[Any]
    forward: Callable[[Any, Any, Mapping[str, Array]], Stages]
    inputs: Callable[[np.random.Generator], dict[str, np.ndarray]]
    float32_limit: float = STAGE_LIMITS[FLOAT32]
    departures: Callable[[Any, Any, Mapping[str, Array]], list[Departure]] = lambda *_: []


def departure(what: str, ours: Array | np.ndarray, published: Array | np.ndarray) -> Departure:
    """A default and how far what it gives is from what the publisher's choice gives."""
    return Departure(what, difference(what, np.asarray(ours), np.asarray(published)).relative)


def captured(network: Any, params: Any, depth: int, *args: Any, **options: Any) -> tuple[Any, Stages]:
    """What a network gives, and the outputs of its modules at a depth by path."""
    out, state = network.apply(
        {"params": params},
        *args,
        mutable=["intermediates"],
        capture_intermediates=lambda module, name: name == "__call__" and len(module.path) == depth,
        **options,
    )
    outputs = {
        path.removesuffix("/__call__"): value[0]
        for path, value in traverse_util.flatten_dict(state["intermediates"], sep="/").items()
    }
    return out, {path: v[0] if isinstance(v, tuple) else v for path, v in outputs.items()}


def scored(stages: Stages, logits: Array, inputs: Mapping[str, Array]) -> Stages:
    """Stages, logits, and their mean squared distance from the target."""
    return {**stages, "logits": logits, "loss": jnp.mean((logits - inputs["target"]) ** 2)}


def normal(**shapes: tuple[int, ...]) -> Callable[[np.random.Generator], dict[str, np.ndarray]]:
    """Inputs of these shapes from a normal distribution."""
    return lambda rng: {name: rng.normal(size=shape) for name, shape in shapes.items()}
