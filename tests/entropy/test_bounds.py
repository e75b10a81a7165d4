import jax
import jax.numpy as jnp
import pytest

from icm_jax.entropy.bounds import lower_bound


def test_value_is_the_maximum():
    assert lower_bound(jnp.array([-1.0, 0.11, 3.0]), 0.11).tolist() == pytest.approx([0.11, 0.11, 3.0])


@pytest.mark.parametrize(
    ("x", "direction", "gradient"),
    [
        (1.0, 2.0, 2.0),  # above the bound: always
        (1.0, -2.0, -2.0),
        (0.5, 2.0, 2.0),  # on the bound: as above it
        (0.1, 2.0, 0.0),  # below, and descent would push further down: stopped
        (0.1, -2.0, -2.0),  # below, and descent would bring it back: passed
    ],
)
def test_gradient_stops_only_what_leads_further_away(x: float, direction: float, gradient: float):
    assert jax.grad(lambda x: direction * lower_bound(x, 0.5))(jnp.float32(x)) == gradient


def test_a_value_under_the_bound_finds_its_way_back():
    x = jnp.float32(-1.0)
    for _ in range(40):
        x = x - 0.1 * jax.grad(lambda x: (lower_bound(x, 0.5) - 2.0) ** 2)(x)
    assert x == pytest.approx(2.0, abs=0.05)


def test_precision_is_kept():
    assert lower_bound(jnp.ones(2, jnp.bfloat16), 0.11).dtype == jnp.bfloat16
