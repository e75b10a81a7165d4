import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from icm_jax.entropy import gaussian


def test_likelihood_is_the_mass_of_the_interval():
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.2, 20, 500).astype(np.float32)
    means = rng.normal(0, 5, 500).astype(np.float32)
    y_hat = np.round(rng.normal(0, scales)).astype(np.float32) + means
    expected = norm.cdf((y_hat + 0.5 - means) / scales) - norm.cdf((y_hat - 0.5 - means) / scales)
    found = gaussian.likelihood(jnp.array(y_hat), jnp.array(scales), jnp.array(means))
    np.testing.assert_allclose(found, np.maximum(expected, 1e-9), rtol=2e-4, atol=1e-9)


@pytest.mark.parametrize("scale", [0.05, 0.11, 1.0, 13.0])
def test_masses_of_all_integers_sum_to_one(scale: float):
    symbols = jnp.arange(-200.0, 201.0)
    masses = gaussian.likelihood(symbols + 0.3, jnp.full_like(symbols, scale), jnp.full_like(symbols, 0.3))
    assert masses.sum() == pytest.approx(1.0, abs=1e-5)


def test_both_tails_are_equally_exact():
    """1 - Φ would lose the upper tail in float32: both sides are taken where Φ is small."""
    y_hat = jnp.array([-5.0, 5.0])
    below, above = gaussian.likelihood(y_hat, jnp.ones(2), jnp.zeros(2))
    assert below == above
    assert below == pytest.approx(norm.cdf(-4.5) - norm.cdf(-5.5), rel=1e-4)


def test_scales_and_likelihoods_are_bounded():
    far = gaussian.likelihood(jnp.array(50.0), jnp.array(0.11), jnp.array(0.0))
    assert far == pytest.approx(1e-9)
    at = gaussian.likelihood(jnp.array(0.4), jnp.array([-3.0, 0.0, 0.11]), jnp.array(0.0))
    assert len(set(at.tolist())) == 1


def test_a_scale_under_its_bound_can_grow():
    """The symbol is far too improbable: the gradient has to raise the scale although the bound holds it."""
    rate = lambda scale: -jnp.log2(gaussian.likelihood(jnp.array(0.9), scale, jnp.array(0.0)))  # noqa: E731
    assert jax.grad(rate)(jnp.float32(0.05)) < 0
    assert (
        jax.grad(lambda s: -jnp.log2(gaussian.likelihood(jnp.array(0.0), s, jnp.array(0.0))))(
            jnp.float32(0.05)
        )
        == 0
    )
