"""Optimisers by name against optax's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from icm_jax.train.config import OptimConfig
from icm_jax.train.optimizer import optimizer, schedule

DECAY, RATE = 0.1, 0.01


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        (
            "adam",
            optax.chain(optax.add_decayed_weights(DECAY, {"kernel": True, "bias": False}), optax.adam(RATE)),
        ),
        ("adamw", optax.adamw(RATE, weight_decay=DECAY, mask={"kernel": True, "bias": False})),
    ],
)
def test_weight_decay_is_coupled_or_not(name: str, reference: optax.GradientTransformation):
    config = OptimConfig(
        optimizer=name,
        learning_rate=RATE,
        total_steps=3,
        weight_decay=DECAY,
        decay=(("bias", 0.0),),
        clip_norm=1e9,
    )
    params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([3.0])}
    found = expected = params
    ours, states = optimizer(config), [optimizer(config).init(params), reference.init(params)]
    for step in range(3):
        gradients = jax.tree.map(lambda p, at=step: jnp.cos(p + at), params)
        updates, states[0] = ours.update(gradients, states[0], found)
        found = optax.apply_updates(found, updates)
        updates, states[1] = reference.update(gradients, states[1], expected)
        expected = optax.apply_updates(expected, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)


def test_polynomial_schedule_ends_at_nothing():
    rate = schedule(OptimConfig(learning_rate=2e-5, total_steps=160_000, schedule="polynomial", power=0.9))
    steps = (0, 40_000, 159_999, 160_000)
    expected = [2e-5 * (1 - step / 160_000) ** 0.9 for step in steps]
    np.testing.assert_allclose([rate(step) for step in steps], expected, rtol=1e-3, atol=1e-12)
