"""ResNet with bottlenecks (He et al., CVPR 2016), as torchvision and detectron2 have it.

stem        7×7 /2, norm, ReLU, 3×3 max pool /2          stride 4
layer1 … 4  bottlenecks, the first of layers 2-4 /2      strides 4, 8, 16, 32
"""

from dataclasses import dataclass

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.dense import Dense
from icm_jax.recognizers.layers import ConvNorm, max_pool
from icm_jax.recognizers.preprocessing import Preprocessing, ShortSideCrop

LAYERS = ("layer1", "layer2", "layer3", "layer4")
PREPROCESSING = Preprocessing(ShortSideCrop(256, 224))
PREPROCESSING_V2 = Preprocessing(ShortSideCrop(232, 224))


@dataclass(frozen=True)
class ResNetSpec:
    """Sizes of a ResNet; the defaults are ResNet-50.

    Attributes:
        blocks: bottlenecks a layer.
        stem: channels of the stem.
        mid, out: channels inside the bottlenecks of every layer, and of what they give.
        classes: outputs of the classifier; 0 leaves it out.
        stride_first: the first 1×1 convolution of a bottleneck has the stride (networks converted from Caffe),
            and not the 3×3 one.
        eps: of the norms.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    stem: int = 64
    mid: tuple[int, ...] = (64, 128, 256, 512)
    out: tuple[int, ...] = (256, 512, 1024, 2048)
    classes: int = 1000
    stride_first: bool = False
    eps: float = 1e-5


class Bottleneck(nn.Module):
    """relu(shortcut(x) + conv1×1(relu(conv3×3(relu(conv1×1(x))))))."""

    spec: ResNetSpec
    mid: int
    out: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hs ws d"]:
        first, second = (self.stride, 1) if self.spec.stride_first else (1, self.stride)
        eps = self.spec.eps
        y = nn.relu(ConvNorm(self.mid, 1, first, eps=eps, name="conv1")(x))
        y = nn.relu(ConvNorm(self.mid, 3, second, eps=eps, name="conv2")(y))
        y = ConvNorm(self.out, 1, eps=eps, name="conv3")(y)
        if self.stride != 1 or x.shape[-1] != self.out:
            x = ConvNorm(self.out, 1, self.stride, eps=eps, name="shortcut")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Input normalised; result: `stem`, `layer1` … `layer4` and, with a classifier, `pooled` and `logits`.

    With `start`, one of `starts`, x is the map of that tap, and what comes before is not run.
    """

    spec: ResNetSpec = ResNetSpec()
    starts = ("stem", *LAYERS)

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], start: str = "") -> dict[str, Array]:
        spec = self.spec
        if not start:
            x = max_pool(nn.relu(ConvNorm(spec.stem, 7, 2, eps=spec.eps, name="stem")(x)), 3, 2, pad=1)
        taps = {start or "stem": x}
        stages = list(zip(LAYERS, spec.blocks, spec.mid, spec.out, strict=True))
        for layer, blocks, mid, out in stages[self.starts.index(start or "stem") :]:
            for i in range(blocks):
                stride = 2 if i == 0 and layer != LAYERS[0] else 1
                x = Bottleneck(spec, mid, out, stride, name=f"{layer}_{i}")(x)
            taps[layer] = x
        if spec.classes:
            taps["pooled"] = x.mean((1, 2))
            taps["logits"] = Dense(spec.classes, name="classifier")(taps["pooled"])
        return taps
