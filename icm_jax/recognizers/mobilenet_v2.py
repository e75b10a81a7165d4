"""MobileNetV2 (Sandler et al., CVPR 2018) of width 1.0, as torchvision has it."""

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import Dense
from icm_jax.recognizers.layers import ConvNorm
from icm_jax.recognizers.preprocessing import Preprocessing, ShortSideCrop

PREPROCESSING = Preprocessing(ShortSideCrop(256, 224))

STEM, HEAD = 32, 1280
# expansion, channels, blocks, stride of the first block
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
BLOCKS = tuple(
    (expansion, channels, stride if i == 0 else 1)
    for expansion, channels, blocks, stride in STAGES
    for i in range(blocks)
)


class InvertedResidual(nn.Module):
    """1×1 to `expansion` times the channels, 3×3 on each of them alone, 1×1 without activation."""

    expansion: int
    features: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws d"]:
        hidden = self.expansion * x.shape[-1]
        y = nn.relu6(ConvNorm(hidden, 1, name="expand")(x)) if self.expansion > 1 else x
        y = nn.relu6(ConvNorm(hidden, 3, self.stride, groups=hidden, name="depthwise")(y))
        y = ConvNorm(self.features, 1, name="project")(y)
        return x + y if self.stride == 1 and x.shape[-1] == self.features else y


class MobileNetV2(nn.Module):
    """Input normalised; result: `features.0` … `features.18` by torchvision's names, `pooled` and `logits`.

    With `start`, one of `starts`, x is the map of that tap, and what comes before is not run.
    """

    classes: int = 1000
    starts = tuple(f"features.{i}" for i in range(len(BLOCKS) + 2))

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], start: str = "") -> dict[str, Array]:
        if not start:
            x = nn.relu6(ConvNorm(STEM, 3, 2, name="stem")(x))
        first = self.starts.index(start or "features.0")
        taps = {self.starts[first]: x}
        for i, (expansion, channels, stride) in list(enumerate(BLOCKS, 1))[first:]:
            x = taps[f"features.{i}"] = InvertedResidual(expansion, channels, stride, name=f"block{i}")(x)
        if first <= len(BLOCKS):
            x = taps[self.starts[-1]] = nn.relu6(ConvNorm(HEAD, 1, name="head")(x))
        taps["pooled"] = x.mean((1, 2))
        taps["logits"] = Dense(self.classes, name="classifier")(taps["pooled"])
        return taps
