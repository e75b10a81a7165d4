"""What a network wants of an image, as data beside the network.

    uint8 RGB of any size ──resize──► RGB in 0..1 ──normalise──► the network's input

Resizing runs on the host with PIL, as the networks were trained and scored. Normalising is differentiable, so that
a loss on features reaches the image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, UInt8
from PIL import Image

Triple = tuple[float, float, float]
Resize = Callable[[UInt8[np.ndarray, "h w 3"]], UInt8[np.ndarray, "h2 w2 3"]]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


def keep_size(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """No resizing."""
    return image


@dataclass(frozen=True)
class Preprocessing:
    """A network's input rule.

    Attributes:
        resize: uint8 image -> uint8 image of a size the network was scored at.
        mean, std: in the order of the network's channels, after `scale`.
        scale: what 1.0 becomes before the mean is taken off.
        bgr: channels are reversed.
        by_maximum: every image is divided by its largest value first.
        multiple: zeros are added below and on the right, after normalising, up to a multiple of this.
    """

    resize: Resize = keep_size
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    scale: float = 1.0
    bgr: bool = False
    by_maximum: bool = False
    multiple: int = 1

    def read(self, image: UInt8[np.ndarray, "h w 3"]) -> Float[Array, "1 h2 w2 3"]:
        """An image file's pixels, resized, as RGB in 0..1."""
        return jnp.asarray(self.resize(image)[None], jnp.float32) / 255

    def normalise(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 3"]:
        """RGB in 0..1 -> the network's input."""
        if self.by_maximum:
            largest = jnp.max(x, (1, 2, 3), keepdims=True)
            x = x / jnp.where(largest > 0, largest, 1)
        x = x[..., ::-1] if self.bgr else x
        x = (x * self.scale - jnp.asarray(self.mean, x.dtype)) / jnp.asarray(self.std, x.dtype)
        below, right = (-size % self.multiple for size in x.shape[1:3])
        return jnp.pad(x, ((0, 0), (0, below), (0, right), (0, 0)))


@dataclass(frozen=True)
class ShortSideCrop:
    """The short side becomes `short` pixels, the long one is rounded down; then the central square of `crop`."""

    short: int
    crop: int

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "c c 3"]:
        height, width = image.shape[:2]
        least = min(height, width)
        image = resize_pil(image, (self.short * height // least, self.short * width // least))
        top, left = (round((size - self.crop) / 2) for size in image.shape[:2])
        return image[top : top + self.crop, left : left + self.crop]


@dataclass(frozen=True)
class Squash:
    """Both sides become `size`, whatever the aspect ratio was."""

    size: int

    def __call__(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
        return resize_pil(image, (self.size, self.size))


def resize_pil(image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """PIL's bilinear filter, which averages when it shrinks. `size` = (height, width)."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
