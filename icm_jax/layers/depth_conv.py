"""The residual blocks of EVC's entropy model (Wang et al., ICLR 2023).

depth   shortcut(x) + conv1×1(depthwise3×3(leaky(conv1×1(x))))      no activation after the last two
ffn     x + leaky(conv1×1(leaky(conv1×1(x))))                       the last one inside the branch
block   ffn(depth(x)), optionally conv1×1 to four times the channels and a pixel shuffle: twice the size
"""

import jax
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.conv import Conv
from icm_jax.layers.depthwise import DepthwiseConv
from icm_jax.layers.pixel_shuffle import pixel_shuffle

DEPTH_SLOPE, FFN_SLOPE = 0.01, 0.1  # of the leaky ReLUs
MAX_HIDDEN = 1024


class DepthConv(nn.Module):
    """`depth` above; the shortcut is a 1×1 convolution, `adaptor`, where the channels change."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        channels = x.shape[-1]
        h = jax.nn.leaky_relu(Conv(channels, 1, name="conv1")(x), DEPTH_SLOPE)
        h = Conv(self.features, 1, name="conv2")(DepthwiseConv(3, name="depth_conv")(h))
        return h + (x if channels == self.features else Conv(self.features, 1, name="adaptor")(x))


class ConvFFN(nn.Module):
    """`ffn` above; four times the channels inside, but no more than 1024 unless that were less than twice."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        hidden = max(min(4 * channels, MAX_HIDDEN), 2 * channels)
        h = jax.nn.leaky_relu(Conv(hidden, 1, name="expand")(x), FFN_SLOPE)
        return x + jax.nn.leaky_relu(Conv(channels, 1, name="reduce")(h), FFN_SLOPE)


class DepthConvBlock(nn.Module):
    """`block` above."""

    features: int
    upsample: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        x = ConvFFN(name="ffn")(DepthConv(self.features, name="depth")(x))
        return pixel_shuffle(Conv(4 * self.features, 1, name="up")(x)) if self.upsample else x
