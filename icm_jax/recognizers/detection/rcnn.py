"""Faster R-CNN (Ren et al., NeurIPS 2015) and Mask R-CNN (He et al., ICCV 2017) on ResNet and pyramid."""

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.recognizers.detection.heads import Heads
from icm_jax.recognizers.detection.spec import DetectorSpec
from icm_jax.recognizers.fpn import ResNetFPN
from icm_jax.recognizers.layers import map_size

START_STRIDE = 4  # of the maps that the network can go on from


class RCNN(nn.Module):
    """A detector. Called, it gives the backbone's taps, which losses compare; `detect` goes on to the boxes."""

    spec: DetectorSpec = DetectorSpec()
    starts = ("stem", "layer1")  # p2 is made of layer1

    def setup(self) -> None:
        self.backbone = ResNetFPN(self.spec.body, self.spec.channels)
        self.heads = Heads(self.spec)

    def __call__(self, x: Float[Array, "b h w c"], start: str = "") -> dict[str, Array]:
        """The ResNet's layers and p2 … p6 of a normalised and padded image, or what follows one of `starts`."""
        taps: dict[str, Array] = self.backbone(x, start)
        return taps

    def detect(
        self, x: Float[Array, "b h w c"], sizes: Float[Array, "b 2"], start: str = ""
    ) -> dict[str, Array]:
        """Detections in normalised images of `sizes` before padding, or behind a map of `start`; see `Heads`."""
        height, width = map_size(x)
        padded = (START_STRIDE * height, START_STRIDE * width) if start else (height, width)
        found: dict[str, Array] = self.heads(self.backbone(x, start), padded, sizes)
        return found
