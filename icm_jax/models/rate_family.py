"""Several rates trained as one: shared kernels, everything else a rate of its own.

    family = {"shared": kernels, "gains": log-gain a rate and output channel, "own": all other leaves, stacked}
    rate q:   kernel · exp(gain[q]),   own[q]

One training run serves all rates, which a small machine could not train one by one. Nothing of it is left in a
codec: `fold` gives the plain parameter tree of one rate, and that is what is exported. After the gain units of
Cui et al. (CVPR 2021), put on every convolution instead of the latents alone.
"""

from collections.abc import Mapping, Sequence
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


def join(members: Sequence[Params]) -> dict[str, Any]:
    """The family of codecs that were folded from one: `fold` gives each of them back, up to rounding.

    Kernels that differ by more than a gain an output channel keep the direction of the first member's.
    """
    size = lambda kernel: jnp.sqrt(jnp.sum(jnp.square(kernel), axis=range(kernel.ndim - 1)))  # noqa: E731
    parts = [paths.select(member, [".*/kernel"]) for member in members]
    shared = parts[0][0]
    gains = [
        jax.tree.map(lambda kernel, first: jnp.log(size(kernel) / size(first)), kernels, shared)
        for kernels, _ in parts
    ]
    stack = lambda *leaves: jnp.stack(leaves)  # noqa: E731
    return {
        "shared": shared,
        "gains": jax.tree.map(stack, *gains),
        "own": jax.tree.map(stack, *(own for _, own in parts)),
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
