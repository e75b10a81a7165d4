"""Conditional Gaussian model of y: p(y_hat | scales, means) integrated over the rounding interval.

Mean-scale hyperprior of Minnen et al. (2018) with the bounds of CompressAI; see `docs/architecture.md`.
"""

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import erfc
from jaxtyping import Float

from icm_jax.entropy.bounds import lower_bound

SCALE_BOUND = 0.11  # also the first level of the coder's scale table
LIKELIHOOD_BOUND = 1e-9


def standard_cdf(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """Φ(t) through erfc, exact in the lower tail, where the likelihood is evaluated."""
    return 0.5 * erfc(-(2**-0.5) * t)


def likelihood(
    y_hat: Float[Array, "..."], scales: Float[Array, "..."], means: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Probability of the unit interval around y_hat, at least 1e-9; scales are bounded by 0.11 from below."""
    sigma = lower_bound(scales, SCALE_BOUND)
    distance = jnp.abs(y_hat - means)
    p = standard_cdf((0.5 - distance) / sigma) - standard_cdf((-0.5 - distance) / sigma)
    return lower_bound(p, LIKELIHOOD_BOUND)
