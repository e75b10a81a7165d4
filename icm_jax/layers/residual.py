"""Residual blocks of 3×3 convolutions and their attention (Cheng et al., CVPR 2020), as CompressAI has them.

block      x + leaky(conv(leaky(conv(x))))
down       conv1×1 /2 (x) + GDN(conv(leaky(conv /2 (x))))
up         subpixel(x) + IGDN(conv(leaky(subpixel(x))))                    subpixel: conv to 4·c, pixel shuffle
attention  x + a(x) · sigmoid(conv1×1(b(x)))                               a, b: three units each
unit       relu(x + conv1×1(relu(conv(relu(conv1×1(x))))))                 half the channels inside
"""

import jax
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.conv import Conv
from icm_jax.layers.gdn import GDN
from icm_jax.layers.pixel_shuffle import pixel_shuffle


class ResidualBlock(nn.Module):
    """`block` above; keeps the channels."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        h = jax.nn.leaky_relu(Conv(self.features, 3, name="conv1")(x))
        return x + jax.nn.leaky_relu(Conv(self.features, 3, name="conv2")(h))


class ResidualDown(nn.Module):
    """`down` above: half the size."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        h = jax.nn.leaky_relu(Conv(self.features, 3, stride=2, name="conv1")(x))
        h = GDN(name="gdn")(Conv(self.features, 3, name="conv2")(h))
        return h + Conv(self.features, 1, stride=2, name="skip")(x)


class ResidualUp(nn.Module):
    """`up` above: twice the size."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 d"]:
        h = jax.nn.leaky_relu(pixel_shuffle(Conv(4 * self.features, 3, name="subpel_conv")(x)))
        h = GDN(inverse=True, name="igdn")(Conv(self.features, 3, name="conv")(h))
        return h + pixel_shuffle(Conv(4 * self.features, 3, name="upsample")(x))


class AttentionUnit(nn.Module):
    """`unit` above."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        inner = self.features // 2
        h = jax.nn.relu(Conv(inner, 1, name="conv0")(x))
        h = jax.nn.relu(Conv(inner, 3, name="conv2")(h))
        return jax.nn.relu(x + Conv(self.features, 1, name="conv4")(h))


class AttentionBlock(nn.Module):
    """`attention` above."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        a = b = x
        for i in range(3):
            a = AttentionUnit(self.features, name=f"a{i}")(a)
            b = AttentionUnit(self.features, name=f"b{i}")(b)
        return x + a * jax.nn.sigmoid(Conv(self.features, 1, name="gate")(b))
