"""The convolutions of VGG (Simonyan & Zisserman, ICLR 2015), every one of them a tap.

Block n: 3×3 convolutions `convN_1` …, each with its ReLU `reluN_1` …, then a 2×2 max pool `poolN`. The taps of a
convolution come before the ReLU: SRGAN's VGG54 is `conv5_4`, others take `relu5_4`.
"""

from dataclasses import dataclass

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.recognizers.layers import Conv, max_pool
from icm_jax.recognizers.preprocessing import Preprocessing, ShortSideCrop

PREPROCESSING = Preprocessing(ShortSideCrop(256, 224))


@dataclass(frozen=True)
class VGGSpec:
    """Channels of the convolutions, block by block; the default is VGG-19."""

    widths: tuple[tuple[int, ...], ...] = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4)

    def layers(self) -> list[tuple[str, int]]:
        """(name, channels) of every convolution, ReLU and pool, in order."""
        return [
            layer
            for b, block in enumerate(self.widths, 1)
            for layer in (
                *((f"{kind}{b}_{i}", c) for i, c in enumerate(block, 1) for kind in ("conv", "relu")),
                (f"pool{b}", block[-1]),
            )
        ]


class VGG(nn.Module):
    """Input normalised; result: every convolution, ReLU and pool by name."""

    spec: VGGSpec = VGGSpec()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> dict[str, Array]:
        taps = {}
        for name, channels in self.spec.layers():
            if name.startswith("conv"):
                x = Conv(channels, 3, use_bias=True, name=name)(x)
            else:
                x = nn.relu(x) if name.startswith("relu") else max_pool(x, 2, 2)
            taps[name] = x
        return taps
