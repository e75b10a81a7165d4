"""Region-of-interest coding: a quality map beside the image says where bits go (Song et al., ICCV 2021).

The published method trains a whole convolutional codec for it. Here the frozen TIC is steered as in TIC+SFT, with the
map as a fourth channel of what the encoder's conditions are made from: 0 where the image may suffer, 255 where it must
not. The decoder gets no map; y_hat tells it where detail was kept. Which map suits a task (Grad-CAM for
classification, foreground for detection) is decided when an image is compressed, not in the network.
"""

from dataclasses import dataclass

from icm_jax.adapters.sft import SftSpec


@dataclass(frozen=True)
class RoiSpec(SftSpec):
    """An `SftSpec` whose encoder takes RGB and a quality map."""

    @property
    def input_channels(self) -> int:
        """RGB and the map."""
        return 4
