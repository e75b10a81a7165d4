"""Preliminary decoder: backbone features to a coarse prediction and the features behind it.

DoRA-ICM (Zhang et al.), section 2.3. Both go into the stream; the prediction is supervised too, enlarged to the
size of its label. The paper does not print the widths; these are InvPT's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.batch_norm import BatchNorm
from icm_jax.layers.conv import Conv
from icm_jax.layers.dense import gelu

WIDTHS = (1024, 512)


class Preliminary(NamedTuple):
    """Features and raw prediction (logits, metres, …), both on the grid of the backbone."""

    features: Float[Array, "b h w d"]
    prediction: Float[Array, "b h w t"]

    def joined(self) -> Float[Array, "b h w c"]:
        """What is coded: features, then prediction."""
        return jnp.concatenate([self.features, self.prediction], axis=-1)


class ConvUnit(nn.Module):
    """Convolution 3×3 without bias, batch norm, GELU."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b h w d"]:
        return gelu(BatchNorm(name="norm")(Conv(self.features, 3, use_bias=False, name="conv")(x), train))


class PreliminaryDecoder(nn.Module):
    """Units of the given widths, then a 1×1 convolution to `outputs` channels."""

    outputs: int
    widths: Sequence[int] = WIDTHS

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Preliminary:
        for i, width in enumerate(self.widths):
            x = ConvUnit(width, name=f"unit{i}")(x, train)
        return Preliminary(x, Conv(self.outputs, 1, name="prediction")(x))
