"""Bicubic resizing: what any interpolation must do; PyTorch's values are in the golden tests."""

import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.layers.bicubic import bicubic, resize_matrix


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("source", "target"), [(5, 10), (5, 40), (9, 4), (7, 7), (1, 3)])
def test_weights_sum_to_one_and_are_symmetric(source: int, target: int, antialias: bool) -> None:
    matrix = resize_matrix(source, target, antialias)
    assert matrix.shape == (target, source)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


def test_a_ramp_stays_a_ramp_inside() -> None:
    """With a = -0.5; the kernel without antialiasing, a = -0.75, has no such property."""
    x = jnp.arange(8.0).reshape(1, 1, 8, 1) * jnp.ones((1, 3, 1, 2))
    y = bicubic(x, (6, 16), antialias=True)
    assert y.shape == (1, 6, 16, 2)
    np.testing.assert_allclose(np.diff(y[0, 2, 4:12, 0]), 0.5, atol=1e-5)


def test_shrinking_with_antialiasing_sees_every_sample() -> None:
    impulse = jnp.zeros((1, 16, 16, 1)).at[0, 9, 9].set(1.0)
    assert np.abs(bicubic(impulse, (2, 2), antialias=True)).sum() > 0
    assert np.abs(bicubic(impulse, (2, 2))).sum() == 0
