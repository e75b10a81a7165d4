"""What a position may see of the map, and that single positions give what the whole map gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.layers.causal_attention import CausalAttention, causal_neighbours, causal_offsets

ATTENTION = CausalAttention(features=8, heads=2, window=5, mlp_ratio=2)


apply = jax.jit(ATTENTION.apply)


@pytest.fixture(scope="module")
def params() -> dict:
    return jax.jit(ATTENTION.init)(jax.random.key(0), jnp.zeros((1, 12, 8)))


def test_offsets_are_the_half_square_before_the_centre() -> None:
    offsets = causal_offsets(5)
    assert offsets.shape == (12, 2)
    assert offsets[[0, 4, 10, 11]].tolist() == [[-2, -2], [-2, 2], [0, -2], [0, -1]]
    assert causal_offsets(3).tolist() == [[-1, -1], [-1, 0], [-1, 1], [0, -1]]


def test_neighbours_outside_the_map_are_zero() -> None:
    y_hat = jnp.arange(1.0, 13.0).reshape(1, 3, 4, 1)
    neighbours = np.asarray(causal_neighbours(y_hat, 5))[..., 0]
    assert not neighbours[0, 0, 0].any()
    assert neighbours[0, 2, 1].tolist() == [0, 1, 2, 3, 4, 0, 5, 6, 7, 8, 0, 9]
    assert neighbours[0, 1, 3].tolist() == [0] * 5 + [2, 3, 4, 0, 0, 6, 7]


def test_a_position_sees_its_causal_neighbours_and_nothing_else(params: dict) -> None:
    y_hat = jax.random.normal(jax.random.key(1), (1, 6, 7, 8))

    def features(y_hat: jax.Array) -> np.ndarray:
        return np.asarray(apply(params, causal_neighbours(y_hat, 5)))[0]

    changed = features(y_hat.at[0, 2, 3].add(1.0)) != features(y_hat)
    seen = {(2 - row, 3 - col) for row, col in causal_offsets(5).tolist()}
    assert {tuple(position) for position in np.argwhere(changed.any(-1)).tolist()} == seen


def test_single_positions_equal_the_map(params: dict) -> None:
    neighbours = causal_neighbours(jax.random.normal(jax.random.key(2), (2, 4, 5, 8)), 5)
    whole = apply(params, neighbours)
    assert whole.shape == (2, 4, 5, 16)
    np.testing.assert_allclose(apply(params, neighbours[1, 2, 3]), whole[1, 2, 3], atol=1e-5)


def test_masked_tokens_take_part(params: dict) -> None:
    """Without them a position without neighbours would have no attention to sum."""
    bias = jnp.ones_like(params["params"]["norm1"]["bias"])
    with_bias = jax.tree.map(lambda leaf: leaf, params)
    with_bias["params"]["norm1"]["bias"] = bias
    empty = jnp.zeros((12, 8))
    assert not np.allclose(apply(with_bias, empty), apply(params, empty))
