"""Several rates trained as one: shared kernels, everything else a rate of its own.

    family = {"shared": kernels, "gains": log-gain a rate and output channel, "own": all other leaves, stacked}
    rate q:   kernel · exp(gain[q]),   own[q]

One training run serves all rates, which a small machine could not train one by one. Nothing of it is left in a
codec: `fold` gives the plain parameter tree of one rate, and that is what is exported. After the gain units of
Cui et al. (CVPR 2021), put on every convolution instead of the latents alone.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from jax import Array

Params = Mapping[str, Any]


def expand(params: Params, rates: int) -> dict[str, Any]:
    """A family of `rates` equal members from the parameters of one codec."""
    flat = traverse_util.flatten_dict(params, sep="/")
    shared = {path: leaf for path, leaf in flat.items() if path.endswith("kernel")}
    own = {path: leaf for path, leaf in flat.items() if path not in shared}
    return {
        "shared": shared,
        "gains": {path: jnp.zeros((rates, leaf.shape[-1]), leaf.dtype) for path, leaf in shared.items()},
        "own": {path: jnp.stack([leaf] * rates) for path, leaf in own.items()},
    }


def fold(family: Params, rate: int | Array) -> dict[str, Any]:
    """The plain parameter tree of one member; `rate` may be traced."""
    pick = lambda leaf: jax.lax.dynamic_index_in_dim(leaf, rate, keepdims=False)  # noqa: E731
    flat = {path: leaf * jnp.exp(pick(family["gains"][path])) for path, leaf in family["shared"].items()}
    flat |= {path: pick(leaf) for path, leaf in family["own"].items()}
    return traverse_util.unflatten_dict(flat, sep="/")


def is_family(params: Params) -> bool:
    """Whether a parameter tree is a family rather than one codec."""
    return set(params) == {"shared", "gains", "own"}
