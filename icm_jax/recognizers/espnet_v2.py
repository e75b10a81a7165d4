"""ESPNetv2 for segmentation (Mehta et al., CVPR 2019), width 2.0, 21 classes of PASCAL VOC.

The encoder's unit (`EESP`) looks through depthwise filters of four dilations at once; the decoder's (`PyramidPool`)
at five scales of the map. Names of the parts follow the published code.
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.resize import bilinear_corners, mean_pooled
from icm_jax.recognizers.layers import Conv, ConvNorm, FrozenBatchNorm, PReLU, map_size
from icm_jax.recognizers.preprocessing import Preprocessing, Squash

PREPROCESSING = Preprocessing(Squash(384))

PATHS = 4  # parallel dilations, and groups of the 1×1 convolutions around them
PYRAMID, SCALES, SMALLEST = 10, (2.0, 1.5, 1.0, 0.5, 0.1), 5
# channels, blocks behind the down-sampling one, their dilations
LEVELS = {"level2": (128, 0, ()), "level3": (256, 3, (1, 2, 3, 4)), "level4": (512, 7, (1, 1, 2, 3))}
DOWN_DILATIONS = (1, 2, 3, 4)
DECODER = (64, 48, 32)  # channels of l1, l2, l3; l4 gives the classes


class ConvNormAct(nn.Module):
    """Convolution, norm, PReLU."""

    features: int
    kernel_size: int
    stride: int = 1
    groups: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws d"]:
        return PReLU(name="act")(
            ConvNorm(self.features, self.kernel_size, self.stride, self.groups, name="unit")(x)
        )


class NormAct(nn.Module):
    """Norm, PReLU."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return PReLU(name="act")(FrozenBatchNorm(name="norm")(x))


class EESP(nn.Module):
    """1×1 to a quarter of the channels, four dilated depthwise filters summed one by one, 1×1 over all of them."""

    features: int
    dilations: tuple[int, ...]
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws d"]:
        width = self.features // PATHS
        y = ConvNormAct(width, 1, groups=PATHS, name="proj_1x1")(x)
        total, sums = jnp.zeros(()), []
        for k, dilation in enumerate(self.dilations):
            total = total + Conv(width, 3, self.stride, dilation, width, name=f"spp_dw{k}")(y)
            sums.append(total)
        y = NormAct(name="br_after_cat")(jnp.concatenate(sums, -1))
        y = ConvNorm(self.features, 1, groups=PATHS, name="conv_1x1_exp")(y)
        return y if self.stride > 1 else PReLU(name="module_act")(x + y)


class DownSampler(nn.Module):
    """Means of the input beside a strided EESP, reinforced by the image itself at this size."""

    features: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], image: Float[Array, "b H W 3"]
    ) -> Float[Array, "b h2 w2 d"]:
        deep = EESP(self.features - x.shape[-1], DOWN_DILATIONS, stride=2, name="eesp")(x)
        y = jnp.concatenate([_halve(x), deep], -1)
        while image.shape[1] > y.shape[1]:
            image = _halve(image)
        image = ConvNormAct(3, 3, name="inp_reinf0")(image)
        return PReLU(name="act")(y + ConvNorm(self.features, 1, name="inp_reinf1")(image))


class PyramidPool(nn.Module):
    """Depthwise filters at five scales of the map, shuffled together; the last one of a network keeps its logits."""

    features: int
    last: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        x = ConvNormAct(PYRAMID, 1, name="projection_layer")(x)
        scales = []
        for k, scale in enumerate(SCALES):
            stage = Conv(PYRAMID, 3, groups=PYRAMID, name=f"stages{k}")
            height, width = (max(SMALLEST, math.ceil(side * scale)) for side in map_size(x))
            if scale > 1:
                y = mean_pooled(stage(bilinear_corners(x, (height, width))), map_size(x))
            elif scale < 1:
                y = bilinear_corners(stage(mean_pooled(x, (height, width))), map_size(x))
            else:
                y = stage(x)
            scales.append(y)
        y = NormAct(name="merge_layer0")(jnp.concatenate(scales, -1))
        # Channel c of every scale side by side, so that the groups of the next convolution see all scales.
        y = y.reshape(*y.shape[:3], len(SCALES), PYRAMID).swapaxes(3, 4).reshape(y.shape)
        y = ConvNormAct(PYRAMID, 3, groups=PYRAMID, name="merge_layer2")(y)
        y = Conv(self.features, 1, use_bias=self.last, name="merge_layer3")(y)
        return y if self.last else NormAct(name="br")(y)


class Merge(nn.Module):
    """What the encoder adds to the decoder, its channels weighed by the mean of the map."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        weights = Conv(self.features, 1, name="wt_layer")(x.mean((1, 2), keepdims=True))
        groups = math.gcd(x.shape[-1], self.features)
        return nn.sigmoid(weights) * ConvNormAct(self.features, 3, groups=groups, name="expansion_layer")(x)


class ESPNetV2(nn.Module):
    """Input normalised, sides multiples of 16; result: taps by the published names, `logits` [b, h, w, classes]."""

    classes: int = 21  # of PASCAL VOC, the background first

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"]) -> dict[str, Array]:
        x = ConvNormAct(32, 3, 2, name="level1")(image)
        taps, skips = {"level1": x}, [x]
        for level, (channels, blocks, dilations) in LEVELS.items():
            x = taps[f"{level}_0"] = DownSampler(channels, name=f"{level}_0")(x, image)
            for i in range(blocks):
                x = taps[f"{level}.{i}"] = EESP(channels, dilations, name=f"{level}_block{i}")(x)
            skips.append(x)
        x = taps["bu_dec_l1"] = PyramidPool(DECODER[0], name="bu_dec_l1")(skips.pop())
        for n, skip in enumerate(reversed(skips), 2):
            merged = taps[f"merge_enc_dec_l{n}"] = Merge(x.shape[-1], name=f"merge_enc_dec_l{n}")(skip)
            x = NormAct(name=f"bu_br_l{n}")(bilinear_corners(x, map_size(skip)) + merged)
            last = n > len(DECODER)
            width = self.classes if last else DECODER[n - 1]
            x = taps[f"bu_dec_l{n}"] = PyramidPool(width, last, name=f"bu_dec_l{n}")(x)
        taps["logits"] = bilinear_corners(x, map_size(image))
        return taps


def _halve(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Means of 3×3 windows, every second one; the border counts as zeros."""
    return nn.avg_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
