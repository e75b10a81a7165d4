"""Shifted-window self-attention on feature maps of any size.

    x [b, h, w, c] -> (pad to whole windows) -> roll by -shift -> qkv -> windows -> attention -> back

Where the map is a multiple of the window this is the Swin attention of the published codecs, its mask of -100
included. Elsewhere the map is padded at the bottom and right and the padded tokens are hidden from every query, or
seen as timm's Swin sees them; see `WindowGrid`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.attention import batched_dot, softmax_dot
from icm_jax.layers.dense import Dense, dense_init
from icm_jax.layers.prompts import Prompts, features_per_prompt, misaligned

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
    return _regions((h, w), window, (shift, shift))


def _regions(sizes: tuple[int, int], window: int, shifts: tuple[int, int]) -> np.ndarray | None:
    """See `window_regions`; each axis with a shift of its own."""
    padded = tuple(-(-size // window) * window for size in sizes)
    if not any(shifts) and padded == sizes:
        return None
    rows, cols = (
        _axis_regions(size, total, window, shift)
        for size, total, shift in zip(sizes, padded, shifts, strict=True)
    )
    rows, cols = rows.reshape(-1, 1, window, 1), cols.reshape(1, -1, 1, window)
    regions = np.where((rows < 0) | (cols < 0), -1, rows * 3 + cols)
    return regions.reshape(-1, window * window)


def attention_mask(queries: np.ndarray, keys: np.ndarray) -> Float[Array, "windows query key"]:
    """Additive mask between tokens by their `window_regions`: 0, SHIFT_PENALTY or PADDING_PENALTY.

    Computed on the device from the small region tables: stored as a constant it would be 25 MB a layer at 768×512.
    """
    query, key = jnp.asarray(queries)[:, :, None], jnp.asarray(keys)[:, None, :]
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


class WindowGrid(NamedTuple):
    """How a map is cut into windows: padded to whole ones at the bottom and right, then rolled by -shift.

    With `shift_mask` off, tokens that only the roll made neighbours see each other.

    With `visible_padding` the map is rolled before it is padded and its zeros are tokens like others, as in timm's
    Swin. There a window is never larger than the map: along an axis that one window covers nothing is rolled, and
    what that window has beyond the map is hidden.
    """

    height: int
    width: int
    window: int
    shift: int
    shift_mask: bool = True
    visible_padding: bool = False

    @property
    def shifts(self) -> tuple[int, int]:
        """Of rows and columns."""
        rows, cols = (
            0 if self.visible_padding and size <= self.window else self.shift
            for size in (self.height, self.width)
        )
        return rows, cols

    def rolled(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hp wp c"]:
        """The padded, rolled map."""
        below, right = -self.height % self.window, -self.width % self.window
        padding = ((0, 0), (0, below), (0, right), (0, 0))
        if self.visible_padding:
            return jnp.pad(self._roll(x, -1), padding)
        return self._roll(jnp.pad(x, padding), -1)

    def windows(self, x: Float[Array, "b h w c"]) -> Float[Array, "b n t c"]:
        """The map in windows."""
        return to_windows(self.rolled(x), self.window)

    def joined(self, windows: Float[Array, "b n t c"]) -> Float[Array, "b h w c"]:
        """The map whose windows these are: undoes `windows`."""
        rows, cols = (-(-size // self.window) * self.window for size in (self.height, self.width))
        x = from_windows(windows, rows, cols, self.window)
        if self.visible_padding:
            return self._roll(x[:, : self.height, : self.width], 1)
        return self._roll(x, 1)[:, : self.height, : self.width]

    def regions(self) -> np.ndarray | None:
        """See `window_regions`; without a shift mask all real tokens are in one region."""
        height, width = (
            -(-size // self.window) * self.window if self.visible_padding and size > self.window else size
            for size in (self.height, self.width)
        )
        regions = _regions((height, width), self.window, self.shifts)
        if regions is None or self.shift_mask:
            return regions
        return None if regions.min() >= 0 else np.minimum(regions, 0)

    def _roll(self, x: Float[Array, "b h w c"], direction: int) -> Float[Array, "b h w c"]:
        rows, cols = self.shifts
        return jnp.roll(x, (direction * rows, direction * cols), axis=(1, 2)) if rows or cols else x


class WindowAttention(nn.Module):
    """Multi-head attention inside windows of `window`×`window` tokens, rolled by `shift`; see `WindowGrid`."""

    features: int
    heads: int
    window: int
    shift: int
    shift_mask: bool = True
    visible_padding: bool = False

    def setup(self) -> None:
        self.qkv = Dense(3 * self.features)
        self.proj = Dense(self.features)
        shape = ((2 * self.window - 1) ** 2, self.heads)
        self.relative_position_bias = self.param("relative_position_bias", dense_init, shape)

    def position_bias(self) -> Float[Array, "heads query key"]:
        """Relative position bias of every token pair of a window."""
        return self.relative_position_bias[relative_position_index(self.window)].transpose(2, 0, 1)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        grid = self._grid(x)
        return grid.joined(self.proj(self._gathered(x, grid)))

    def gathered(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """What all heads gather, before the output projection `proj`."""
        grid = self._grid(x)
        return grid.joined(self._gathered(x, grid))

    def with_prompts(
        self, x: Float[Array, "b h w c"], prompts: Prompts
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b hp wp c"] | None]:
        """Attention of image tokens to prompts and image tokens; and of the prompts if they are updated."""
        grid = self._grid(x)
        q, k, v = self._project(x, grid)
        prompt_grid = self._prompt_grid(prompts, grid)
        if prompt_grid is None:  # shared by all windows: projected once, then repeated
            count = len(q) // len(prompts.tokens)
            parts = self._heads(self.qkv(prompts.tokens)[:, None])
            prompt_q, prompt_k, prompt_v = (jnp.repeat(part, count, axis=0) for part in parts)
        else:
            prompt_q, prompt_k, prompt_v = self._project(prompts.tokens, prompt_grid)
        masks = prompted_masks(grid, prompt_grid, prompts, prompt_k.shape[2])
        keys, values = jnp.concatenate([prompt_k, k], axis=2), jnp.concatenate([prompt_v, v], axis=2)
        to_prompts = self._logits(q, prompt_k)
        logits = jnp.concatenate([to_prompts, self._image_logits(q, k)], axis=-1)
        out = self._attend(logits, masks.of_image, values, grid)
        if not prompts.updated or prompt_grid is None:
            return out, None
        return out, self._attend(self._logits(prompt_q, keys), masks.of_prompts, values, prompt_grid)

    def _grid(self, x: Float[Array, "b h w c"]) -> WindowGrid:
        return WindowGrid(
            x.shape[1], x.shape[2], self.window, self.shift, self.shift_mask, self.visible_padding
        )

    def _gathered(self, x: Float[Array, "b h w c"], grid: WindowGrid) -> Float[Array, "b n t c"]:
        q, k, v = self._project(x, grid)
        regions = grid.regions()
        mask = None if regions is None else attention_mask(regions, regions)
        return self._gather(self._image_logits(q, k), mask, v, grid)

    def _project(self, x: Float[Array, "b h w c"], grid: WindowGrid) -> tuple[Array, Array, Array]:
        """Queries, keys and values of a map, each [windows, heads, tokens, dim]."""
        # The projection runs on the whole map, before windows are cut: one large matrix product.
        return self._heads(to_windows(self.qkv(grid.rolled(x)), grid.window))

    def _heads(self, tokens: Float[Array, "b n t c3"]) -> tuple[Array, Array, Array]:
        # Explicit transposes to [windows, heads, tokens, dim]: both products are then plain batched ones, which on
        # a CPU is two to three times as fast as letting einsum find its own layout. Split, not indexed: the
        # gradient of a split is one concatenation instead of a sum of three padded arrays.
        b, n, t, _ = tokens.shape
        q, k, v = (
            part.reshape(b * n, t, self.heads, -1).transpose(0, 2, 1, 3)
            for part in jnp.split(tokens, 3, axis=-1)
        )
        return q, k, v

    def _logits(self, q: Float[Array, "n h q d"], k: Float[Array, "n h k d"]) -> Float[Array, "n h q k"]:
        logits = batched_dot(q * (self.features // self.heads) ** -0.5, k, contract_last=True)
        return logits.astype(
            jnp.promote_types(logits.dtype, jnp.float32)
        )  # a softmax of 16 bits is a poor one

    def _image_logits(self, q: Float[Array, "n h t d"], k: Float[Array, "n h t d"]) -> Array:
        logits = self._logits(q, k)
        return logits + self.position_bias().astype(logits.dtype)

    def _attend(
        self, logits: Float[Array, "bn h q k"], mask: Array | None, values: Array, grid: WindowGrid
    ) -> Float[Array, "b h w c"]:
        """`_gather`, output projection, back to a map."""
        return grid.joined(self.proj(self._gather(logits, mask, values, grid)))

    def _gather(
        self, logits: Float[Array, "bn h q k"], mask: Array | None, values: Array, grid: WindowGrid
    ) -> Float[Array, "b n t c"]:
        """Softmax over the keys, weighted values, heads put together."""
        if mask is not None:
            n = len(mask)
            masked = logits.reshape(-1, n, *logits.shape[1:]) + mask[:, None].astype(logits.dtype)
            logits = masked.reshape(logits.shape)
        out = softmax_dot(logits, values).transpose(0, 2, 1, 3)
        windows = -(-grid.height // grid.window) * -(-grid.width // grid.window)
        return out.reshape(-1, windows, out.shape[1], self.features)

    def _prompt_grid(self, prompts: Prompts, grid: WindowGrid) -> WindowGrid | None:
        """How a prompt map is cut so that its windows lie under those of the image; None for shared prompts."""
        if prompts.tokens.ndim == 3:
            return None
        height, width = prompts.tokens.shape[1:3]
        down = features_per_prompt(grid.height, height, grid.window, grid.shift)
        return WindowGrid(height, width, grid.window // down, grid.shift // down, grid.shift_mask)


class PromptedMasks(NamedTuple):
    """Additive masks over the keys [prompts; image tokens], or None where nothing is hidden."""

    of_image: Float[Array, "n t pt"] | None
    of_prompts: Float[Array, "n p pt"] | None


def prompted_masks(
    grid: WindowGrid, prompt_grid: WindowGrid | None, prompts: Prompts, count: int
) -> PromptedMasks:
    """Masks of a prompted layer. A prompt of a map lies in the region of the features above it; shared ones in all."""
    regions = grid.regions()
    if regions is None:
        return PromptedMasks(None, None)
    image = attention_mask(regions, regions)
    if prompt_grid is None:
        visible = jnp.zeros((*image.shape[:2], count))
        return PromptedMasks(jnp.concatenate([visible, image], axis=-1), None)
    own = prompt_grid.regions()
    assert own is not None  # prompts are padded and shifted where the features are
    keys = np.concatenate([own, regions], axis=1)
    aligned = attention_mask(regions, keys)
    if not prompts.reference_mask:
        return PromptedMasks(aligned, attention_mask(own, keys))
    shifted = misaligned(jnp.where(image == SHIFT_PENALTY, image, 0.0), count)
    padding = jnp.where(aligned == PADDING_PENALTY, aligned, 0.0)
    return PromptedMasks(shifted + padding, attention_mask(own, keys))
