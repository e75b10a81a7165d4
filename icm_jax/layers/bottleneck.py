"""Residual bottlenecks: the light stand-in for Swin layers in `tic-lite`."""

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.conv import Conv


class Bottleneck(nn.Module):
    """x + conv1(relu(conv3(relu(conv1(x))))), half the channels inside; about 3.25·C² multiplies a position."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        inner = self.features // 2
        h = nn.relu(Conv(inner, 1, initializer="lecun", name="reduce")(x))
        h = nn.relu(Conv(inner, 3, initializer="lecun", name="spatial")(h))
        return x + Conv(self.features, 1, initializer="lecun", name="expand")(h)


class BottleneckStack(nn.Module):
    """`depth` bottlenecks in a row; takes the place of one Swin block (STB) of TIC."""

    features: int
    depth: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b h w c"]:
        del train  # same signature as SwinStack; nothing here is random
        for i in range(self.depth):
            x = Bottleneck(self.features, name=f"layer{i}")(x)
        return x
