"""Prompts of window attention: extra tokens that image tokens attend to (Kao et al., ICCV 2023, section 3.3).

    keys and values of a window: [prompts; image tokens]      queries: image tokens      bias of prompt keys: 0

Prompts come as a map over the image (instance prompts: cut into windows and rolled like the features) or as a few
tokens that all windows share (task prompts). They pass the layer's qkv projection, but no norm before it.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError


class Prompts(NamedTuple):
    """Prompts of one layer.

    Attributes:
        tokens: a map [b, hp, wp, c] with one prompt for d×d features, or shared tokens [1 or b, p, c].
        reference_mask: the shift mask lies over the keys as in the published code, see `misaligned`.
        updated: prompts attend too and go on to the next layer (VPT-shallow).
    """

    tokens: Float[Array, "b hp wp c"] | Float[Array, "b p c"]
    reference_mask: bool = False
    updated: bool = False

    def as_map(self, features: tuple[int, ...], window: int) -> "Prompts":
        """Shared tokens as a map that repeats them in every window of features [b, h, w, c]: a square each."""
        if self.tokens.ndim == 4:
            return self
        side = math.isqrt(self.tokens.shape[1])
        batch, *sizes, width = features
        rows, cols = (-(-size // (window // side)) for size in sizes)
        square = self.tokens.reshape(-1, side, side, width)
        tiled = jnp.tile(square, (1, -(-rows // side), -(-cols // side), 1))[:, :rows, :cols]
        return self._replace(tokens=jnp.broadcast_to(tiled, (batch, rows, cols, width)))


class StackPrompts(NamedTuple):
    """Prompts of a stack: one set a layer (deep), or a single map that the layers hand on (shallow)."""

    layers: tuple[Array, ...]
    reference_mask: bool = False
    shallow: bool = False

    def of_layer(self, index: int, handed_on: Array | None) -> Prompts:
        """Prompts of a layer, given what the layer before it handed on."""
        tokens = self.layers[index] if handed_on is None else handed_on
        return Prompts(tokens, self.reference_mask, self.shallow)


def features_per_prompt(features: int, prompts: int, window: int, shift: int) -> int:
    """Features along the side of the square that a prompt of a map stands for.

    Raises:
        IcmError: windows would not hold whole prompts, or the shift would cut one.
    """
    down = round(features / prompts)
    if -(-features // max(down, 1)) != prompts or window % down or shift % down:
        raise IcmError(
            f"{prompts} prompts along {features} features do not fit windows of {window} shifted by {shift}; "
            "both must be multiples of the features a prompt stands for"
        )
    return down


def misaligned(mask: Float[Array, "n q t"], prompts: int) -> Float[Array, "n q pt"]:
    """Mask over [prompts; image tokens] as the published code has it, from the one over image tokens.

    There the columns of the image tokens come first although the prompts' keys do, and columns picked from their
    middle fill the end. Released weights were trained with it.

    Raises:
        IcmError: too many prompts, where the published code stops as well.
    """
    tokens = mask.shape[-1]
    middle = tokens - 2 * prompts
    if middle <= 0:
        raise IcmError(
            f"mask='reference' has no form for {prompts} prompts in a window of {tokens} tokens; use 'aligned'"
        )
    columns = prompts + np.arange(prompts) * middle // prompts
    return jnp.concatenate([mask, mask[..., columns]], axis=-1)
