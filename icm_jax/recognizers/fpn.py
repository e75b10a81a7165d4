"""Feature pyramid on a ResNet (Lin et al., CVPR 2017): maps of one width at strides 4 to 64, p2 … p6."""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.recognizers.layers import Conv, map_size
from icm_jax.recognizers.resnet import LAYERS, ResNet, ResNetSpec

PYRAMID = ("p2", "p3", "p4", "p5", "p6")


class ResNetFPN(nn.Module):
    """Input normalised; result: the ResNet's `stem`, `layer1` … and the pyramid's `p2` … `p6`.

    From the coarsest layer on, each is brought to `channels`, and the coarser sum, every pixel four times, is added.
    What the pyramid gives are these sums behind a 3×3 convolution; p6 is every second pixel of p5. With `start`, x is
    that tap of the ResNet, "stem" or "layer1".
    """

    spec: ResNetSpec
    channels: int = 256

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], start: str = "") -> dict[str, Array]:
        taps = ResNet(self.spec, name="body")(x, start)
        total = None
        for layer, level in zip(reversed(LAYERS), reversed(PYRAMID[:-1]), strict=True):
            inner = Conv(self.channels, 1, use_bias=True, name=f"lateral_{level}")(taps[layer])
            total = inner if total is None else inner + _doubled(total, map_size(inner))
            taps[level] = Conv(self.channels, 3, use_bias=True, name=f"output_{level}")(total)
        taps["p6"] = taps["p5"][:, ::2, ::2]
        return taps


def _doubled(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
    """Every pixel twice along both axes; one less where the partner has an odd size."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)[:, : size[0], : size[1]]
