"""The network that looks at the image to be coded and makes a feature map of prompts of it (TransTIC, figure A2).

x ─► down1 ────────────────────────────────┬─► up1 ─► head (/2) ─► map at H/2
       └─ pool ─► down2 ─────────┬─► up2 ─ ×2 ┘
                    └─ pool ─► down3 ─ ×2 ┘
"""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.batch_norm import BatchNorm
from icm_jax.layers.conv import Conv
from icm_jax.layers.resize import bilinear_corners


class ConvStack(nn.Module):
    """`count` times convolution 3×3, batch norm, ReLU, all of the same width."""

    features: int
    count: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w d"]:
        for i in range(self.count):
            x = Conv(self.features, 3, name=f"conv{i}")(x)
            x = nn.relu(BatchNorm(name=f"norm{i}")(x, train))
        return x


class PromptExtractor(nn.Module):
    """A U-Net of three scales, `width` to 4·`width` channels; `features` channels at H/2."""

    width: int
    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], train: bool = False) -> Float[Array, "b h2 w2 c"]:
        width = self.width
        full = ConvStack(width, 2, name="down1")(x, train)
        half = ConvStack(2 * width, 2, name="down2")(_pool(full), train)
        quarter = ConvStack(4 * width, 2, name="down3")(_pool(half), train)
        half = ConvStack(2 * width, 3, name="up2")(_concat(half, quarter), train)
        full = ConvStack(width, 3, name="up1")(_concat(full, half), train)
        return Conv(self.features, 3, stride=2, name="head")(full)


def _pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    return nn.max_pool(x, (2, 2), (2, 2))


def _concat(fine: Float[Array, "b h w c"], coarse: Float[Array, "b h2 w2 d"]) -> Float[Array, "b h w cd"]:
    height, width = fine.shape[1:3]
    return jnp.concatenate([fine, bilinear_corners(coarse, (height, width))], axis=-1)
