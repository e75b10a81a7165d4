"""Window attention against a brute-force computation that knows no padding, masks, rolls or reshapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.layers.window_attention import (
    SHIFT_PENALTY,
    WindowAttention,
    attention_mask,
    from_windows,
    relative_position_index,
    to_windows,
    window_regions,
)

FEATURES, HEADS = 6, 2


def brute_force(
    params: dict, x: np.ndarray, window: int, shift: int, penalty: float = SHIFT_PENALTY
) -> np.ndarray:
    """One image [h, w, c], token by token: the window of a token holds real tokens only.

    The map wraps around after padding to whole windows, as rolling it does; tokens that only the wrap makes
    neighbours keep the published penalty.
    """
    h, w, c = x.shape
    period = [-(-size // window) * window for size in (h, w)]
    # Where every real token lies on the rolled, padded map, and whether the roll moved it past an edge.
    rolled = {
        (i, j): ((i - shift) % period[0], (j - shift) % period[1], i < shift, j < shift)
        for i in range(h)
        for j in range(w)
    }
    weights = {name: np.asarray(params[name]["kernel"], np.float64) for name in ("qkv", "proj")}
    bias = {name: np.asarray(params[name]["bias"], np.float64) for name in ("qkv", "proj")}
    table = np.asarray(params["relative_position_bias"], np.float64)
    qkv = (x.astype(np.float64) @ weights["qkv"] + bias["qkv"]).reshape(h, w, 3, HEADS, c // HEADS)
    out = np.zeros_like(x, np.float64)
    for (i, j), (row, col, *wraps) in rolled.items():
        keys = [
            at
            for at, (r, s, *_) in rolled.items()
            if (r // window, s // window) == (row // window, col // window)
        ]
        for head in range(HEADS):
            logits = []
            for key in keys:
                key_row, key_col, *key_wraps = rolled[key]
                offset = (row - key_row + window - 1) * (2 * window - 1) + col - key_col + window - 1
                logit = qkv[i, j, 0, head] @ qkv[*key, 1, head] / np.sqrt(c // HEADS) + table[offset, head]
                logits.append(logit + (penalty if key_wraps != wraps else 0.0))
            attention = np.exp(np.array(logits) - max(logits))
            values = np.stack([qkv[*key, 2, head] for key in keys])
            out[i, j].reshape(HEADS, -1)[head] = attention @ values / attention.sum()
    return out @ weights["proj"] + bias["proj"]


@pytest.mark.parametrize("size", [(8, 8), (8, 12), (7, 9), (5, 4), (3, 2), (1, 13)])
@pytest.mark.parametrize("shift", [0, 2])
def test_equals_brute_force_on_any_size(size: tuple[int, int], shift: int):
    attention = WindowAttention(FEATURES, HEADS, window=4, shift=shift)
    rng = np.random.default_rng(sum(size) + shift)
    x = jnp.asarray(rng.normal(size=(2, *size, FEATURES)), jnp.float32)
    params = jax.jit(attention.init)(jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), params)
    found = jax.jit(attention.apply)({"params": params}, x)
    for image, result in zip(x, found, strict=True):
        np.testing.assert_allclose(result, brute_force(params, np.asarray(image), 4, shift), atol=2e-5)


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_without_a_shift_mask_the_map_wraps_around(size: tuple[int, int]):
    attention = WindowAttention(FEATURES, HEADS, window=4, shift=2, shift_mask=False)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(1, *size, FEATURES)), jnp.float32)
    params = jax.jit(attention.init)(jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), params)
    found = jax.jit(attention.apply)({"params": params}, x)
    np.testing.assert_allclose(found[0], brute_force(params, np.asarray(x[0]), 4, 2, penalty=0.0), atol=2e-5)


def test_what_is_beyond_the_edge_has_no_gradient():
    """Padding must not reach the output: gradients are finite and every real token gets one."""
    attention = WindowAttention(FEATURES, HEADS, window=4, shift=2)
    x = jnp.ones((1, 5, 7, FEATURES)) * jnp.arange(7.0)[:, None]
    params = jax.jit(attention.init)(jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda x: (attention.apply(params, x) ** 2).sum()))(x)
    assert jnp.isfinite(gradient).all()
    assert (jnp.abs(gradient).sum(-1) > 0).all()


def test_relative_position_index():
    index = relative_position_index(3)
    assert index.shape == (9, 9)
    assert index[0, 8] == 0  # two rows and columns up-left is the first entry of the table
    assert index[8, 0] == 24
    assert (np.diag(index) == 12).all()
    assert index[1, 0] == 13  # query one column to the right of its key


def test_mask_of_the_published_layers():
    regions = window_regions(8, 8, 4, 2)
    mask = np.asarray(attention_mask(regions, regions))
    assert mask.shape == (4, 16, 16)
    assert (mask[0] == 0).all()  # the first window is not touched by the wrap
    assert set(np.unique(mask[3])) == {SHIFT_PENALTY, 0.0}
    assert np.array_equal(mask, mask.transpose(0, 2, 1))
    assert (mask[1, 0, [0, 1, 4, 5]] == 0).all()
    assert (mask[1, 0, [2, 3, 6, 7]] == SHIFT_PENALTY).all()


def test_no_mask_where_none_is_needed():
    assert window_regions(8, 12, 4, 0) is None
    assert window_regions(8, 11, 4, 0) is not None


def test_windows_and_back():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    windows = to_windows(x, 2)
    assert windows.shape == (2, 6, 4, 3)
    assert windows[1, 4, 2].tolist() == x[1, 3, 2].tolist()  # window row 1, column 1; token row 1, column 0
    assert (from_windows(windows, 4, 6, 2) == x).all()
