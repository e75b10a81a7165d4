import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.entropy import quantize


def test_halves_round_to_even():
    x = jnp.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert quantize.round_to(x, jnp.zeros(())).tolist() == [-2, -2, 0, 0, 2, 2]


def test_rounding_is_around_the_centre():
    assert quantize.round_to(jnp.array([1.2, 1.8]), jnp.array([0.75, 0.25])).tolist() == [0.75, 2.25]


def test_noise_is_uniform_on_one_step():
    noise = np.asarray(quantize.add_noise(jnp.full(20_000, 3.0), jax.random.key(0))) - 3.0
    assert -0.5 <= noise.min() < -0.49
    assert 0.49 < noise.max() <= 0.5
    assert abs(noise.mean()) < 0.01
    assert abs(noise.var() - 1 / 12) < 0.002


def test_straight_through_rounds_forward_and_passes_the_gradient():
    x, centre = jnp.array([0.3, 1.7]), jnp.array([0.1, 0.1])
    value, (to_x, to_centre) = jax.value_and_grad(
        lambda x, c: (quantize.straight_through(x, c) * jnp.array([2.0, 3.0])).sum(), argnums=(0, 1)
    )(x, centre)
    assert jnp.allclose(value, 2 * 0.1 + 3 * 2.1)
    assert to_x.tolist() == [2.0, 3.0]
    assert to_centre.tolist() == [0.0, 0.0]


def test_noise_passes_the_gradient():
    gradient = jax.grad(lambda x: quantize.add_noise(x, jax.random.key(1)).sum())(jnp.zeros(3))
    assert gradient.tolist() == [1.0, 1.0, 1.0]
