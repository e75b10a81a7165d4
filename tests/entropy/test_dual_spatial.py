"""Two passes of a checkerboard: each element once, the second pass a function of the first, counts of EVC."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from icm_jax.entropy.dual_spatial import DualSpatialPrior, Noise, first_pass, gaussian_bits

MODEL = DualSpatialPrior(4)


@pytest.fixture(scope="module")
def params() -> dict:
    return jax.jit(MODEL.init)(jax.random.key(0), jnp.zeros((1, 8, 4, 4)))["params"]


@pytest.fixture(scope="module")
def y() -> jax.Array:
    return 5 * jax.random.normal(jax.random.key(1), (2, 8, 4, 4))


def test_each_pass_has_half_of_every_position() -> None:
    first = first_pass(3, 5, 6)
    assert (first.sum(-1) == 3).all()
    assert first[0, 0].tolist() == [True] * 3 + [False] * 3
    assert first[0, 1].tolist() == [False] * 3 + [True] * 3


def test_the_second_pass_depends_on_the_first(params: dict, y: jax.Array) -> None:
    def second_pass(decoded: jax.Array) -> jax.Array:
        hyper = MODEL.apply({"params": params}, jnp.zeros((2, 2, 1, 4)), method="hyper_synthesise")
        return MODEL.apply({"params": params}, decoded, hyper, method="second_pass")[0]

    decoded = jnp.where(first_pass(8, 4, 4), jnp.round(y), 0)
    scales, changed = jax.jit(jax.vmap(second_pass))(jnp.stack([decoded, decoded.at[0, 2, 2, 0].add(1.0)]))
    assert not np.allclose(scales[0], changed[0])
    np.testing.assert_array_equal(scales[1], changed[1])


def test_noise_touches_the_rate_alone(params: dict, y: jax.Array) -> None:
    noise = Noise(jax.random.uniform(jax.random.key(2), y.shape) - 0.5, jnp.full((2, 2, 1, 4), 0.25))
    run = jax.jit(lambda y, noise: MODEL.apply({"params": params}, y, noise))
    noisy, rounded = run(y, noise), run(y, None)
    assert rounded.z.shape == (2, 2, 1, 4)
    np.testing.assert_array_equal(noisy.y_hat, rounded.y_hat)
    assert not np.allclose(noisy.y_bits, rounded.y_bits)


def test_training_reaches_every_parameter(params: dict, y: jax.Array) -> None:
    noise = Noise(jnp.zeros_like(y), jnp.zeros((2, 2, 1, 4)))

    def loss(params: dict, y: jax.Array) -> jax.Array:
        coded = MODEL.apply({"params": params}, y, noise)
        return coded.y_bits.sum() + coded.z_bits.sum() + jnp.sum((coded.y_hat - y) ** 2)

    gradients, by_y = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, y)
    assert (np.abs(by_y) > 0).mean() > 0.9  # rounding is straight-through
    norms = {
        jax.tree_util.keystr(p): float(jnp.abs(g).sum()) for p, g in jax.tree.leaves_with_path(gradients)
    }
    assert [path for path, norm in norms.items() if not np.isfinite(norm) or norm == 0] == []


def test_bits_of_a_gaussian() -> None:
    bits = gaussian_bits(jnp.array([0.0, 0.0, 1.0, 500.0]), jnp.array([-3.0, 0.05, 1.0, 1.0]))
    np.testing.assert_allclose(bits[:2], 0, atol=1e-4)  # scales count as 0.11 at least
    np.testing.assert_allclose(bits[2], -np.log2(0.24173 + 1e-5), atol=1e-3)
    np.testing.assert_allclose(bits[3], -np.log2(1e-5), atol=1e-3)


def test_both_tails_keep_their_digits() -> None:
    residual, scales = np.array([3.5, 4.0, 4.5, -3.5, -4.0, -4.5]), np.ones(6)
    exact = -np.log2(special.ndtr(0.5 - abs(residual)) - special.ndtr(-0.5 - abs(residual)) + 1e-5)
    arrays = jnp.asarray(residual, jnp.float32), jnp.asarray(scales, jnp.float32)
    np.testing.assert_allclose(gaussian_bits(*arrays), exact, rtol=2e-6)
    lost = np.abs(gaussian_bits(*arrays, exact_tails=False) - exact)
    assert lost[:3].max() > 1e-4 and lost[:3].max() < 0.02


@pytest.mark.parametrize(("channels", "millions"), [(192, 10.82), (448, 52.76), (512, 68.30)])
def test_counts(channels: int, millions: float) -> None:
    model = DualSpatialPrior(channels)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4, 4, channels)))
    assert round(sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6, 2) == millions
