"""Swin for classification: what its windows see at the edges, merging, sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.layers.window_attention import WindowAttention, WindowGrid
from icm_jax.recognizers.swin import PatchMerging, Swin, SwinSpec

SPEC = SwinSpec(width=8, depths=(2, 2), heads=(1, 2), windows=(3, 3), mlp_ratio=2, classes=5)


def random_like(tree, scale: float = 0.3):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, scale, leaf.shape), jnp.float32), tree)


def test_swin_t_has_its_published_size():
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
    params = jax.eval_shape(Swin().init, jax.random.key(0), image)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 28_288_354


def test_grids_with_visible_padding_are_undone():
    x = jnp.arange(2 * 8 * 3 * 1.0).reshape(2, 8, 3, 1)
    grid = WindowGrid(8, 3, 3, 1, visible_padding=True)
    np.testing.assert_array_equal(grid.joined(grid.windows(x)), x)
    assert grid.shifts == (1, 0)
    assert grid.regions().min() == 0  # three windows of rows, the last one with a row of zeros that all see
    assert WindowGrid(8, 2, 3, 1, visible_padding=True).regions().min() == -1
    assert WindowGrid(3, 3, 3, 1, visible_padding=True).regions() is None


def test_a_map_smaller_than_the_window_is_one_window_of_its_size():
    """timm gives such a map a window of its own size; the same table is read around its middle."""
    x = random_like(jax.ShapeDtypeStruct((1, 2, 2, 4), np.float32), 1.0)
    large = WindowAttention(4, 2, window=3, shift=1, visible_padding=True)
    params = random_like(jax.eval_shape(large.init, jax.random.key(0), x)["params"])
    small = WindowAttention(4, 2, window=2, shift=0, visible_padding=True)
    table = params["relative_position_bias"].reshape(5, 5, 2)[1:4, 1:4].reshape(9, 2)
    expected = small.apply({"params": params | {"relative_position_bias": table}}, x)
    np.testing.assert_allclose(large.apply({"params": params}, x), expected, atol=1e-6)


def test_what_the_heads_gather_is_projected_to_the_output():
    x = random_like(jax.ShapeDtypeStruct((1, 5, 4, 4), np.float32), 1.0)
    attention = WindowAttention(4, 2, window=3, shift=1)
    params = random_like(jax.eval_shape(attention.init, jax.random.key(0), x)["params"])
    gathered = attention.apply({"params": params}, x, method="gathered")
    projected = gathered @ params["proj"]["kernel"] + params["proj"]["bias"]
    np.testing.assert_allclose(projected, attention.apply({"params": params}, x), atol=1e-5)


def test_merging_goes_column_by_column():
    x = jnp.arange(6.0).reshape(1, 3, 2, 1) + 1
    merging = PatchMerging(4)
    params = {"norm": {"scale": jnp.ones(4), "bias": jnp.zeros(4)}, "reduction": {"kernel": jnp.eye(4)}}
    merged = merging.apply({"params": params}, x)
    for cell, tokens in zip(merged[0, :, 0], ([1, 3, 2, 4], [5, 0, 6, 0]), strict=True):
        centred = np.array(tokens, float) - np.mean(tokens)
        np.testing.assert_allclose(cell, centred / np.sqrt((centred**2).mean() + 1e-5), atol=1e-5)


@pytest.mark.parametrize("size", [(24, 24), (28, 20), (8, 40)])
def test_any_multiple_of_the_patch(size: tuple[int, int]):
    x = random_like(jax.ShapeDtypeStruct((2, *size, 3), np.float32), 1.0)
    params = random_like(jax.eval_shape(Swin(SPEC).init, jax.random.key(0), x)["params"])
    taps = jax.jit(Swin(SPEC).apply)({"params": params}, x)
    assert taps["layer0"].shape == (2, size[0] // 4, size[1] // 4, 8)
    assert taps["layer1"].shape == (2, -(-size[0] // 8), -(-size[1] // 8), 16)
    assert taps["logits"].shape == (2, 5) and np.isfinite(taps["logits"]).all()
    with pytest.raises(IcmError, match="no multiple of the patch size 4"):
        jax.eval_shape(Swin(SPEC).apply, {"params": params}, jnp.zeros((1, 30, 32, 3)))


def test_copies_of_the_last_blocks_are_the_network_itself_without_adapters():
    x = random_like(jax.ShapeDtypeStruct((1, 24, 24, 3), np.float32), 1.0)
    params = random_like(jax.eval_shape(Swin(SPEC).init, jax.random.key(0), x)["params"])
    plain, copied = (
        jax.jit(Swin(SPEC).apply, static_argnums=(2, 3))({"params": params}, x, False, n) for n in (1, 3)
    )
    for name in ("layer0", "merged0", "layer1"):
        assert copied[name].shape[0] == 3
        np.testing.assert_allclose(copied[name], np.repeat(plain[name], 3, axis=0), atol=1e-5)
    np.testing.assert_allclose(copied["logits"], plain["logits"], atol=1e-5)
