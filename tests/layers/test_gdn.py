import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.layers.gdn import BETA_MIN, GDN, PEDESTAL


def stored(values: np.ndarray) -> jax.Array:
    return jnp.sqrt(jnp.asarray(values, jnp.float32) + PEDESTAL)


@pytest.mark.parametrize("inverse", [False, True])
def test_by_hand(inverse: bool) -> None:
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 2)).astype(np.float32)
    beta, gamma = np.array([0.5, 2.0]), np.array([[0.1, 0.3], [0.0, 0.7]])  # gamma[from, to]
    norm = np.sqrt(beta + np.einsum("bhwj,ji->bhwi", x**2, gamma))
    found = GDN(inverse).apply({"params": {"beta": stored(beta), "gamma": stored(gamma)}}, x)
    np.testing.assert_allclose(found, x * norm if inverse else x / norm, rtol=1e-5)


def test_start() -> None:
    params = GDN().init(jax.random.key(0), jnp.zeros((1, 1, 1, 3)))["params"]
    np.testing.assert_allclose(params["beta"] ** 2 - PEDESTAL, np.ones(3), rtol=1e-6)
    np.testing.assert_allclose(params["gamma"] ** 2 - PEDESTAL, 0.1 * np.eye(3), atol=1e-7)


def test_parameters_stay_non_negative_and_can_return() -> None:
    params = {"beta": jnp.array([-3.0]), "gamma": jnp.array([[-1.0]])}
    x = jnp.full((1, 1, 1, 1), 2.0)
    run = lambda params, sign: sign * GDN(inverse=True).apply({"params": params}, x).sum()  # noqa: E731
    assert float(run(params, 1.0)) == pytest.approx(2 * BETA_MIN**0.5, rel=1e-3)
    # A larger norm lowers the second loss: only there does a gradient pass the bounds, and it raises both.
    held, raised = (jax.grad(run)(params, sign) for sign in (1.0, -1.0))
    assert all(float(leaf.squeeze()) == 0 for leaf in held.values())
    assert all(float(leaf.squeeze()) < 0 for leaf in raised.values())
