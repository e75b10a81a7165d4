"""Dense and GELU against Flax's own and against erf in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import special

from icm_jax.layers.dense import Dense, dense_init, gelu


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 4, 7)])
def test_dense_is_flax_dense(shape: tuple[int, ...]):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    theirs = nn.Dense(6, kernel_init=dense_init)
    params = theirs.init(jax.random.key(1), x)
    ours = Dense(6)
    jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(1), x), params)

    def loss(model, params, x):
        return jnp.sin(model.apply(params, x)).sum()

    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), atol=1e-6)
    for got, expected in zip(
        jax.tree.leaves(jax.grad(loss, (1, 2))(ours, params, x)),
        jax.tree.leaves(jax.grad(loss, (1, 2))(theirs, params, x)),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_gelu_is_exact():
    x = np.linspace(-12, 12, 4001)
    cdf = special.ndtr(x)
    slope = cdf + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)
    values = jnp.asarray(x, jnp.float32)
    np.testing.assert_allclose(gelu(values), x * cdf, atol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda v: gelu(v).sum())(values), slope, atol=1e-6)


def test_gelu_in_float64():
    x = np.linspace(-12, 12, 401)
    with jax.enable_x64(True):
        np.testing.assert_allclose(gelu(jnp.asarray(x)), x * special.ndtr(x), rtol=1e-9, atol=1e-14)
