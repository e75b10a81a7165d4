"""Blocks of Cheng et al. without their branches; whole ones are compared in tests/weights_convert."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from icm_jax.layers.causal_attention import causal_neighbours
from icm_jax.layers.causal_conv import CausalConv
from icm_jax.layers.conv import conv2d
from icm_jax.layers.residual import AttentionBlock, ResidualBlock, ResidualDown, ResidualUp

X = np.random.default_rng(0).normal(size=(1, 6, 4, 8)).astype(np.float32)


@pytest.mark.parametrize("block", [ResidualBlock(8), AttentionBlock(8)])
def test_blocks_add_to_their_input(block: nn.Module) -> None:
    params = jax.tree.map(jnp.zeros_like, block.init(jax.random.key(0), X))
    attended = (
        0.5 * jax.nn.relu(X) if isinstance(block, AttentionBlock) else 0
    )  # a(x) = relu³(x), sigmoid(0) = 1/2
    np.testing.assert_allclose(block.apply(params, X), X + attended, rtol=1e-6)


@pytest.mark.parametrize(
    ("block", "shape"), [(ResidualDown(5), (1, 3, 2, 5)), (ResidualUp(5), (1, 12, 8, 5))]
)
def test_blocks_change_the_size(block: nn.Module, shape: tuple[int, ...]) -> None:
    assert jax.eval_shape(block.init_with_output, jax.random.key(0), X)[0].shape == shape


def test_causal_convolution_is_a_masked_one() -> None:
    layer = CausalConv(3, window=5)
    neighbours = causal_neighbours(jnp.asarray(X), 5)
    params = layer.init(jax.random.key(0), neighbours)["params"]
    kernel = np.zeros((25, 8, 3), np.float32)
    kernel[:12] = params["kernel"]
    expected = conv2d(X, kernel.reshape(5, 5, 8, 3)) + params["bias"]
    np.testing.assert_allclose(layer.apply({"params": params}, neighbours), expected, atol=1e-5)
    assert float(jnp.abs(params["kernel"]).max()) <= (25 * 8) ** -0.5
