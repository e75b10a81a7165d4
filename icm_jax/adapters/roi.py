"""Region-of-interest coding: a quality map beside the image says where bits go (Song et al., ICCV 2021).

The published method trains a whole convolutional codec for it. Here the frozen TIC is steered as in TIC+SFT, with the
map as a fourth channel of what the encoder's conditions are made from: 0 where the image may suffer, 255 where it must
not. The decoder gets no map; y_hat tells it where detail was kept. Maps are made of a network's answer
(`icm_jax.recognizers.quality_map`); any other may be given when an image is compressed.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from icm_jax.adapters.sft import SftSpec

SPAN = 4.382  # logarithm of how much more an error counts at 255 than at 0, as published: a factor of 80


def error_weight(quality: Float[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
    """How much a squared error counts under a map in 0..1, relative to the middle of the map."""
    return jnp.exp(SPAN * (quality - 0.5))


@dataclass(frozen=True)
class RoiSpec(SftSpec):
    """An `SftSpec` whose encoder takes RGB and a quality map."""

    @property
    def input_channels(self) -> int:
        """RGB and the map."""
        return 4
