"""Lower bounds whose gradient lets a value climb back over the bound (Ballé et al., 2018)."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def lower_bound(x: Float[Array, "..."], bound: float) -> Float[Array, "..."]:
    """max(x, bound). The gradient passes where x >= bound or where it would raise x; elsewhere it is zero."""
    return jnp.maximum(x, jnp.asarray(bound, x.dtype))


def _forward(x: Array, bound: float) -> tuple[Array, Array]:
    return jnp.maximum(x, jnp.asarray(bound, x.dtype)), x


def _backward(bound: float, x: Array, g: Array) -> tuple[Array]:
    # A negative gradient means descent will increase x: without it a value under the bound never returned.
    return (jnp.where((x >= bound) | (g < 0), g, jnp.zeros_like(g)),)


lower_bound.defvjp(_forward, _backward)
