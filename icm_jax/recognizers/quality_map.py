"""Where in a photo bits matter to a network: the quality maps of region-of-interest coding (`adapters.roi`).

classifier          Grad-CAM of the class it answers (Selvaraju et al., ICCV 2017)
segmenter           probability of not being background, its class 0
saliency network    its saliency
detector            1 inside the boxes it finds, else 0
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float, UInt8
from PIL import Image

from icm_jax.errors import IcmError
from icm_jax.layers.resize import bilinear
from icm_jax.recognizers.detection.rcnn import RCNN
from icm_jax.recognizers.preprocessing import ShortSideCrop, Squash
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.u2netp import saliency_map

LEAST_SCORE = 0.5  # of a detection that counts as foreground


def quality_map(recognizer: Recognizer, images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 1"]:
    """The map of RGB images in 0..1, from 0 (may suffer) to 1 (must not); carries no gradient.

    Raises:
        IcmError: a network whose answer says of no place how much it matters.
    """
    if isinstance(recognizer.network, RCNN):
        found = _foreground(recognizer, images)
    elif recognizer.output == "saliency":
        found = saliency_map(recognizer.outputs(images)["saliency"])
    elif recognizer.output == "logits":
        logits = recognizer.outputs(images)["logits"]
        found = grad_cam(recognizer, images) if logits.ndim == 2 else 1 - nn.softmax(logits)[..., 0]
    else:
        raise IcmError(
            f"{recognizer.name} gives no quality map; take a classifier, segmenter, saliency network or detector"
        )
    height, width = images.shape[1:3]
    return jax.lax.stop_gradient(bilinear(found[..., None], (height, width)))


def grad_cam(recognizer: Recognizer, images: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2"]:
    """Evidence for the answered class in the last tap, at its size; the most important place of an image is 1."""
    tap = recognizer.taps[-1]
    maps = recognizer.outputs(images)[tap]
    gradient = jax.grad(lambda maps: recognizer.continued(tap, maps)["logits"].max(-1).sum())(maps)
    evidence = nn.relu((maps * gradient.mean((1, 2), keepdims=True)).sum(-1))
    return evidence / jnp.maximum(evidence.max((1, 2), keepdims=True), 1e-6)


def photo_map(recognizer: Recognizer, photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """The map of a whole photo of any size, 0 to 255. Networks of one input size see it squashed to that."""
    resize = recognizer.preprocessing.resize
    seen = Squash(resize.crop)(photo) if isinstance(resize, ShortSideCrop) else resize(photo)
    found = np.asarray(_quality_map(recognizer, jnp.asarray(seen, jnp.float32)[None] / 255))[0, ..., 0]
    grey = Image.fromarray(np.round(255 * found).astype(np.uint8))
    return np.asarray(grey.resize(photo.shape[1::-1], Image.Resampling.BILINEAR))


def read_map(file: Path, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """A map drawn by hand or by another program: an 8-bit grey image of the photo's `size` = (height, width).

    Raises:
        IcmError: not there, not readable, in colour, or of another size.
    """
    try:
        with Image.open(file) as image:
            mode, found = image.mode, np.asarray(image)
    except OSError:
        raise IcmError(f"{file}: no readable quality map; give an 8-bit grey image there") from None
    if mode != "L" or found.shape != size:
        raise IcmError(
            f"{file}: quality map is {mode} of {found.shape[1]}×{found.shape[0]}, expected 8-bit grey (L) of "
            f"{size[1]}×{size[0]}, the size of its photo"
        )
    return found


_quality_map = jax.jit(quality_map)


def _foreground(detector: Recognizer, images: Float[Array, "b h w 3"]) -> Float[Array, "b h w"]:
    """1 at pixels whose centre lies in a box of at least `LEAST_SCORE`."""
    count, height, width = images.shape[:3]
    found = detector.network.apply(
        {"params": detector.params},
        detector.preprocessing.normalise(images),
        jnp.tile(jnp.array([[height, width]], jnp.float32), (count, 1)),
        method="detect",
    )
    left, top, right, bottom = jnp.moveaxis(found["boxes"], -1, 0)[..., None]
    rows, columns = jnp.arange(height) + 0.5, jnp.arange(width) + 0.5
    inside_rows = (top <= rows) & (rows < bottom)
    inside_columns = (left <= columns) & (columns < right) & (found["scores"] >= LEAST_SCORE)[..., None]
    return (inside_rows[:, :, :, None] & inside_columns[:, :, None, :]).any(1).astype(jnp.float32)
