"""Attention by plain products against JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.layers.attention import attend


def test_attention_is_that_of_jax() -> None:
    q, k, v = (jax.random.normal(jax.random.key(i), (2, 5 + i % 2, 3, 4)) for i in (0, 1, 3))
    expected = jax.nn.dot_product_attention(q, k, v)
    np.testing.assert_allclose(attend(q, k, v), expected, atol=1e-6)
    half = attend(*(tokens.astype(jnp.bfloat16) for tokens in (q, k, v)))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), expected, atol=0.05)
