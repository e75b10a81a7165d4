"""The learned distribution of z: a cumulative function, its bits, and integer tables that agree with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.bitstream.tables import TOTAL, validate
from icm_jax.entropy.bit_estimator import BitEstimator, bits, estimator_masses, estimator_tables

CHANNELS = 3
MODEL = BitEstimator(CHANNELS)


@pytest.fixture(scope="module")
def params() -> dict[str, np.ndarray]:
    shapes = MODEL.init(jax.random.key(0), jnp.zeros((1, CHANNELS)), method="cumulative")
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=leaf.shape).astype(np.float32) for name, leaf in shapes["params"].items()}


def cumulative(params: dict, x: jax.Array) -> np.ndarray:
    return np.asarray(MODEL.apply({"params": params}, x, method="cumulative"))


def test_it_rises_from_0_to_1(params: dict) -> None:
    x = jnp.linspace(-200, 200, 401)[:, None] * jnp.ones(CHANNELS)
    values = cumulative(params, x)
    assert (np.diff(values, axis=0) >= 0).all()
    assert (values[0] < 1e-3).all() and (values[-1] > 1 - 1e-3).all()


def test_tables_are_the_same_distribution(params: dict) -> None:
    tables = validate(estimator_tables(params))
    for channel, (first, inside, beyond) in enumerate(estimator_masses(params)):
        assert tables.offset[channel] == first
        np.testing.assert_allclose(inside.sum() + beyond, 1, atol=1e-12)
        symbols = first + np.arange(len(inside))
        z_hat = jnp.zeros((1, 1, len(symbols), CHANNELS)).at[..., channel].set(symbols)
        estimated = MODEL.apply({"params": params}, z_hat, method="bits")[0, 0, :, channel]
        counts = np.diff(tables.cdf[channel, : tables.length[channel]])[:-1]
        likely = inside > 0.01
        np.testing.assert_allclose(estimated[likely], 16 - np.log2(counts[likely]), atol=0.02)
        assert counts.sum() < TOTAL


def test_bits_are_bounded_with_a_gradient_that_returns() -> None:
    values = bits(jnp.array([1.0, 0.5, 0.0]))
    np.testing.assert_allclose(values, [0, 1, -np.log2(1e-5)], atol=1e-4)
    assert jax.grad(bits)(1.0) == 0
    assert jax.grad(lambda p: -bits(p))(1.0) > 0  # where descent asks for more bits, the bound lets go
