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
from jax import Array

from icm_jax import paths

Params = Mapping[str, Any]


def expand(params: Params, rates: int) -> dict[str, Any]:
    """A family of `rates` equal members from the parameters of one codec."""
    shared, own = paths.select(params, [".*/kernel"])
    return {
        "shared": shared,
        "gains": jax.tree.map(lambda leaf: jnp.zeros((rates, leaf.shape[-1]), leaf.dtype), shared),
        "own": jax.tree.map(lambda leaf: jnp.stack([leaf] * rates), own),
    }


def fold(family: Params, rate: int | Array) -> dict[str, Any]:
    """The plain parameter tree of one member; `rate` may be traced."""
    pick = lambda leaf: jax.lax.dynamic_index_in_dim(leaf, rate, keepdims=False)  # noqa: E731
    kernels = jax.tree.map(
        lambda leaf, gain: leaf * jnp.exp(pick(gain)), dict(family["shared"]), dict(family["gains"])
    )
    return paths.merge(kernels, jax.tree.map(pick, dict(family["own"])))


def is_family(params: Params) -> bool:
    """Whether a parameter tree is a family rather than one codec."""
    return set(params) == {"shared", "gains", "own"}
