"""Rotary positions: products of rotated vectors depend on where they are to each other, not on where they are."""

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.layers.rotary import rotary_table, rotate


def test_products_depend_on_the_difference_of_positions() -> None:
    table = rotary_table((4, 5), 8, reference_side=None)
    q, k = (jnp.broadcast_to(jax.random.normal(jax.random.key(i), (1, 1, 8)), (20, 1, 8)) for i in range(2))
    products = np.einsum("nhd,mhd->nm", rotate(q, table), rotate(k, table)).reshape(4, 5, 4, 5)
    np.testing.assert_allclose(products[0, 1, 2, 3], products[1, 2, 3, 4], rtol=1e-4)
    assert not np.allclose(products[0, 1, 2, 3], products[0, 1, 3, 3])
    np.testing.assert_allclose(
        np.linalg.norm(rotate(q, table), axis=-1), np.linalg.norm(q, axis=-1), rtol=1e-5
    )


def test_axes_run_to_the_reference_whatever_the_grid() -> None:
    small, large = (rotary_table(grid, 8) for grid in ((4, 4), (8, 8)))
    np.testing.assert_allclose(small.sin[1 * 4 + 2], large.sin[2 * 8 + 4], atol=1e-6)
    np.testing.assert_array_equal(small.sin[:, 0], small.sin[:, 1])


def test_float64_is_exact_and_half_precision_has_the_float32_table() -> None:
    single, double = (rotary_table((3, 5), 16, dtype=dtype) for dtype in (np.float32, np.float64))
    row, pair = 2, 1  # of the first half, which turns with the row
    angle = 16 * row / 3 * 10000.0 ** (-pair / 4)
    assert abs(double.sin[row * 5, 2 * pair] - np.sin(angle)) < 1e-15
    assert 0 < np.abs(single.sin - double.sin).max() < 1e-5
    np.testing.assert_array_equal(rotary_table((3, 5), 16, dtype=jnp.bfloat16).sin, single.sin)
