"""Patches: the convolution they stand for, and embeddings carried to other grids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.layers.bicubic import bicubic
from icm_jax.layers.patch_embed import PatchEmbed, resample_kernel, resize_positions


def test_tokens_are_a_convolution_with_its_kernel_as_stride() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 6, 9, 3))
    tokens, variables = PatchEmbed(4, 3).init_with_output(jax.random.key(1), x)
    maps = jax.lax.conv_general_dilated(
        x, variables["params"]["kernel"], (3, 3), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(tokens, maps.reshape(2, 6, 4), atol=1e-6)


def test_positions_of_the_same_grid_are_left_alone() -> None:
    positions = jax.random.normal(jax.random.key(0), (1, 7, 4))
    assert resize_positions(positions, (2, 3), (2, 3)) is positions
    resized = resize_positions(positions, (2, 3), (4, 4))
    assert resized.shape == (1, 17, 4)
    np.testing.assert_array_equal(resized[:, 0], positions[:, 0])
    with pytest.raises(IcmError, match=r"7 position embeddings are not 1 \+ 3×3"):
        resize_positions(positions, (3, 3), (4, 4))


def test_a_larger_kernel_keeps_products_with_resized_patches() -> None:
    kernel = np.random.default_rng(0).normal(size=(5, 5, 1, 2)).astype(np.float32)
    patch = jax.random.normal(jax.random.key(0), (1, 5, 5, 1))
    larger = resample_kernel(kernel, (7, 7))
    before = jnp.einsum("bhwc,hwcd->bd", patch, kernel)
    after = jnp.einsum("bhwc,hwcd->bd", bicubic(patch, (7, 7), antialias=True), larger)
    np.testing.assert_allclose(after, before, rtol=1e-4)
