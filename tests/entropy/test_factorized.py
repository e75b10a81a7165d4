from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.entropy.factorized import (
    QUANTILE_LOGIT,
    FactorizedPrior,
    cumulative_logits,
    fit_quantiles,
    interval_mass,
)

CHANNELS = 5


@pytest.fixture(scope="module")
def prior() -> tuple[FactorizedPrior, dict]:
    """A prior with parameters off their symmetric start."""
    module = FactorizedPrior(CHANNELS)
    params = module.init(jax.random.key(0), method="auxiliary_loss")["params"]
    rng = np.random.default_rng(1)
    bent = {
        name: leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32)
        if name.startswith(("matrix", "factor"))
        else leaf
        for name, leaf in params.items()
    }
    return module, bent


def run(prior: tuple[FactorizedPrior, dict], method: str, *args: jax.Array) -> jax.Array:
    module, params = prior
    return jax.jit(partial(module.apply, method=method))({"params": params}, *args)


def test_cumulative_rises_from_zero_to_one(prior):
    grid = jnp.broadcast_to(jnp.linspace(-300, 300, 2001), (CHANNELS, 1, 2001))
    logits = cumulative_logits(prior[1], grid)
    assert (jnp.diff(logits, axis=-1) > 0).all()
    assert (logits[..., 0] < -5).all()
    assert (logits[..., -1] > 5).all()


def test_masses_of_all_integers_sum_to_one(prior):
    z_hat = jnp.broadcast_to(jnp.arange(-2000.0, 2001.0)[:, None], (1, 1, 4001, CHANNELS))
    masses = run(prior, "likelihood", z_hat)
    np.testing.assert_allclose(masses.sum((0, 1, 2)), 1.0, atol=2e-4)


def test_likelihood_keeps_its_channels_apart(prior):
    z_hat = jnp.array(np.random.default_rng(2).normal(0, 5, (2, 3, 4, CHANNELS)), jnp.float32)
    whole = run(prior, "likelihood", z_hat)
    one = jnp.array([z_hat[1, 2, 3, c] for c in range(CHANNELS)]).reshape(CHANNELS, 1, 1)
    mass = interval_mass(cumulative_logits(prior[1], one - 0.5), cumulative_logits(prior[1], one + 0.5))
    np.testing.assert_allclose(whole[1, 2, 3], mass[:, 0, 0], rtol=1e-5)


def test_upper_tail_is_as_exact_as_the_lower():
    lower, upper = jnp.array([-20.0, 15.0]), jnp.array([-15.0, 20.0])
    below, above = interval_mass(lower, upper).tolist()
    assert above == pytest.approx(below, rel=1e-6)
    assert below == pytest.approx(np.exp(-15.0) - np.exp(-20.0), rel=1e-5)


def test_likelihood_has_a_floor(prior):
    assert run(prior, "likelihood", jnp.full((1, 1, 1, CHANNELS), 1e6)).tolist() == [
        [[pytest.approx([1e-9] * 5)]]
    ]


def test_auxiliary_loss_is_the_distance_of_the_logits(prior):
    logits = np.asarray(cumulative_logits(prior[1], prior[1]["quantiles"]))
    expected = np.abs(logits - [-QUANTILE_LOGIT, 0.0, QUANTILE_LOGIT]).sum()
    assert run(prior, "auxiliary_loss") == pytest.approx(expected, rel=1e-6)


def test_auxiliary_loss_moves_the_quantiles_only(prior):
    module, params = prior
    gradients = jax.jit(jax.grad(lambda p: module.apply({"params": p}, method="auxiliary_loss")))(params)
    assert (gradients.pop("quantiles") != 0).all()
    assert all((leaf == 0).all() for leaf in gradients.values())


def test_likelihood_does_not_move_the_quantiles(prior):
    module, params = prior
    z_hat = jnp.ones((1, 2, 2, CHANNELS))
    bits = lambda p: -jnp.log2(module.apply({"params": p}, z_hat, method="likelihood")).sum()  # noqa: E731
    gradients = jax.jit(jax.grad(bits))(params)
    assert (gradients["quantiles"] == 0).all()
    assert (gradients["matrix0"] != 0).any()


def test_fitted_quantiles_end_the_auxiliary_loss(prior):
    module, params = prior
    fitted = params | {"quantiles": fit_quantiles(params)}
    assert module.apply({"params": fitted}, method="auxiliary_loss") < 1e-2 * 3 * CHANNELS
    assert (jnp.diff(fitted["quantiles"], axis=-1) > 0).all()


def test_medians_are_the_middle_quantiles(prior):
    assert run(prior, "medians").tolist() == prior[1]["quantiles"][:, 0, 1].tolist()


def test_an_interval_around_the_median_has_mass():
    """Its logits are each other's negatives, so neither side is the smaller one."""
    edge = jnp.array([0.5, 1.0, 3.0])
    np.testing.assert_allclose(interval_mass(-edge, edge), np.tanh(edge / 2), rtol=1e-6)
