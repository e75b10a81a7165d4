"""Shifted-window self-attention on feature maps of any size.

    x [b, h, w, c] -> (pad to whole windows) -> roll by -shift -> qkv -> windows -> attention -> back

Where the map is a multiple of the window this is the Swin attention of the published codecs, its mask of -100
included. Elsewhere the map is padded at the bottom and right and the padded tokens are hidden from every query.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import Dense, dense_init

SHIFT_PENALTY = (
    -100.0
)  # added to logits between tokens that only the roll made neighbours (not -inf: as published)
PADDING_PENALTY = -1e9  # hides tokens that do not exist


def relative_position_index(window: int) -> np.ndarray:
    """Row of the bias table for every (query, key) of one window: int [window², window²]."""
    rows, cols = np.divmod(np.arange(window * window), window)
    d_row = rows[:, None] - rows[None, :] + window - 1
    d_col = cols[:, None] - cols[None, :] + window - 1
    return d_row * (2 * window - 1) + d_col


def _axis_regions(size: int, padded: int, window: int, shift: int) -> np.ndarray:
    """Region of each position of one rolled axis: 0, 1, 2 as the shift mask paints them, -1 for padding."""
    position = np.arange(padded)
    if shift:
        region = (position >= padded - window).astype(np.int32) + (position >= padded - shift)
        existing = (position + shift) % padded < size
    else:
        region = np.zeros(padded, np.int32)
        existing = position < size
    return np.where(existing, region, -1)


def window_regions(h: int, w: int, window: int, shift: int) -> np.ndarray | None:
    """Region of every token, int [windows_h·windows_w, window²]; -1 marks padding. None when no mask is needed."""
    padded_h, padded_w = (-(-size // window) * window for size in (h, w))
    if shift == 0 and (padded_h, padded_w) == (h, w):
        return None
    rows = _axis_regions(h, padded_h, window, shift).reshape(-1, 1, window, 1)
    cols = _axis_regions(w, padded_w, window, shift).reshape(1, -1, 1, window)
    regions = np.where((rows < 0) | (cols < 0), -1, rows * 3 + cols)
    return regions.reshape(-1, window * window)


def attention_mask(regions: np.ndarray) -> Float[Array, "windows query key"]:
    """Additive mask from `window_regions`: 0, SHIFT_PENALTY or PADDING_PENALTY.

    Computed on the device from the small region table: stored as a constant it would be 25 MB a layer at 768×512.
    """
    table = jnp.asarray(regions)
    query, key = table[:, :, None], table[:, None, :]
    return jnp.where(key < 0, PADDING_PENALTY, jnp.where(query != key, SHIFT_PENALTY, 0.0))


def to_windows(x: Float[Array, "b h w c"], window: int) -> Float[Array, "b n t c"]:
    """[b, h, w, c] -> [b, windows (row-major), window² tokens (row-major), c]."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // window, window, w // window, window, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, window * window, c)


def from_windows(x: Float[Array, "b n t c"], h: int, w: int, window: int) -> Float[Array, "b h w c"]:
    """Inverse of `to_windows`."""
    b, c = x.shape[0], x.shape[-1]
    x = x.reshape(b, h // window, w // window, window, window, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)


class WindowAttention(nn.Module):
    """Multi-head attention inside windows of `window`×`window` tokens, rolled by `shift`."""

    features: int
    heads: int
    window: int
    shift: int

    def setup(self) -> None:
        self.qkv = Dense(3 * self.features)
        self.proj = Dense(self.features)
        shape = ((2 * self.window - 1) ** 2, self.heads)
        self.relative_position_bias = self.param("relative_position_bias", dense_init, shape)

    def position_bias(self) -> Float[Array, "heads query key"]:
        """Relative position bias of every token pair of a window."""
        return self.relative_position_bias[relative_position_index(self.window)].transpose(2, 0, 1)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        h, w = x.shape[1:3]
        window, shift = self.window, self.shift
        x = jnp.pad(x, ((0, 0), (0, -h % window), (0, -w % window), (0, 0)))
        padded_h, padded_w = x.shape[1:3]
        if shift:
            x = jnp.roll(x, (-shift, -shift), axis=(1, 2))
        # The projection runs on the whole map, before windows are cut: one large matrix product.
        tokens = to_windows(self.qkv(x), window)
        out = self.proj(self._attend(tokens, window_regions(h, w, window, shift)))
        out = from_windows(out, padded_h, padded_w, window)
        if shift:
            out = jnp.roll(out, (shift, shift), axis=(1, 2))
        return out[:, :h, :w]

    def _attend(
        self, tokens: Float[Array, "b n t c3"], regions: np.ndarray | None
    ) -> Float[Array, "b n t c"]:
        b, n, t, _ = tokens.shape
        head_dim = self.features // self.heads
        # Explicit transposes to [windows, heads, tokens, dim]: both products are then plain batched ones, which on
        # a CPU is two to three times as fast as letting einsum find its own layout. Split, not indexed: the
        # gradient of a split is one concatenation instead of a sum of three padded arrays.
        q, k, v = (
            part.reshape(b * n, t, self.heads, head_dim).transpose(0, 2, 1, 3)
            for part in jnp.split(tokens, 3, axis=-1)
        )
        logits = _batched_dot(q * head_dim**-0.5, k, contract_last=True)
        logits = logits + self.position_bias().astype(logits.dtype)
        if regions is not None:
            mask = attention_mask(regions)[:, None].astype(logits.dtype)
            logits = (logits.reshape(b, n, *logits.shape[1:]) + mask).reshape(logits.shape)
        out = _softmax_dot(logits, v)
        return out.transpose(0, 2, 1, 3).reshape(b, n, t, self.features)


def _batched_dot(a: Array, b: Array, contract_last: bool) -> Array:
    """Matrix product over the last two axes, the first two being batch; b transposed if `contract_last`."""
    return jax.lax.dot_general(a, b, (((3,), (3 if contract_last else 2,)), ((0, 1), (0, 1))))


def _softmax_dot(logits: Float[Array, "n h q k"], values: Float[Array, "n h k d"]) -> Float[Array, "n h q d"]:
    """softmax(logits) · values, normalised after the product: a division a output instead of one a weight."""
    largest = jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True))
    weights = jnp.exp(logits - largest)
    return _batched_dot(weights, values, contract_last=False) / weights.sum(axis=-1, keepdims=True)
