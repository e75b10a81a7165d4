"""From a detector and a photo to boxes and masks in the photo's own pixels."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int, UInt8

from icm_jax.errors import IcmError
from icm_jax.layers.resize import bilinear
from icm_jax.recognizers.detection.masks import paste_mask, paste_mask_rounded
from icm_jax.recognizers.detection.rcnn import RCNN, START_STRIDE
from icm_jax.recognizers.detection.spec import DetectorSpec
from icm_jax.recognizers.layers import map_size
from icm_jax.recognizers.preprocessing import Preprocessing, resize_pil
from icm_jax.recognizers.recognizer import Recognizer

SHORT, LONG = 800, 1333  # sides that test images are scaled to
STRIDE = 32
# COCO numbers its 80 categories 1 to 90, leaving these out.
UNUSED_CATEGORIES = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
CATEGORIES = np.array([i for i in range(1, 91) if i not in UNUSED_CATEGORIES])


class Instances(NamedTuple):
    """What was found in a photo, by falling score; `masks` of a Mask R-CNN, else None."""

    boxes: Float[np.ndarray, "n 4"]
    scores: Float[np.ndarray, "n"]
    categories: Int[np.ndarray, "n"]
    masks: Bool[np.ndarray, "n h w"] | None


def resize_detectron2(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Short side 800, long side at most 1333, sides rounded to the nearest; PIL's filter, which averages."""
    height, width = image.shape[:2]
    scale = _scale(height, width)
    return resize_pil(image, (int(height * scale + 0.5), int(width * scale + 0.5)))


def resize_torchvision(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h2 w2 3"]:
    """The same sides rounded down; bilinear without averaging, and without rounding to whole grey levels."""
    height, width = image.shape[:2]
    scale = _scale(height, width)
    size = (int(height * scale), int(width * scale))
    return np.asarray(bilinear(jnp.asarray(image[None], jnp.float32), size)[0])


PREPROCESSING_DETECTRON2 = Preprocessing(
    resize_detectron2,
    mean=(103.53, 116.28, 123.675),
    std=(1.0, 1.0, 1.0),
    scale=255.0,
    bgr=True,
    multiple=STRIDE,
)
PREPROCESSING_TORCHVISION = Preprocessing(resize_torchvision, multiple=STRIDE)


def detect(
    detector: Recognizer, photo: UInt8[np.ndarray, "h w 3"], size: tuple[int, int] | None = None
) -> Instances:
    """Finds objects in a photo of any size. A program is compiled for every padded size.

    Args:
        size: (height, width) of the photo in whose pixels the answer is; by default the given one's. A photo that
            comes with a size was resized already, and is taken as it is.
    """
    resized = detector.preprocessing.resize(photo) if size is None else photo
    x = jnp.asarray(resized[None], jnp.float32) / 255
    network: RCNN = detector.network
    found = {name: np.asarray(value[0]) for name, value in _detect(detector, x).items()}
    return in_photo(found, map_size(x), size or (photo.shape[0], photo.shape[1]), network.spec)


def detect_from(
    detector: Recognizer,
    tap: str,
    features: Float[np.ndarray, "h w c"],
    picture: tuple[int, int],
    photo: tuple[int, int],
) -> Instances:
    """The same from the map of a tap that covers a resized picture, in pixels of the photo it was made of.

    Raises:
        IcmError: the picture was not resized as the detector wants it.
    """
    if _scale(*picture) != 1:
        raise IcmError(
            f"features of a picture of {picture[1]}×{picture[0]}, {detector.name} wants a short side of {SHORT} or "
            f"a long one of {LONG}; take --protocol published"
        )
    below, right = (-side % (STRIDE // START_STRIDE) for side in features.shape[:2])
    maps = jnp.pad(jnp.asarray(features), ((0, below), (0, right), (0, 0)))[None]
    network: RCNN = detector.network
    found = {name: np.asarray(value[0]) for name, value in _detect_from(detector, tap, maps, picture).items()}
    return in_photo(found, picture, photo, network.spec)


def in_photo(
    found: dict[str, np.ndarray], size: tuple[int, int], photo_size: tuple[int, int], spec: DetectorSpec
) -> Instances:
    """Detections of one image, resized to `size`, as instances in the photo it was made of.

    Args:
        found: boxes, scores, columns and perhaps masks of `detection.heads.Heads`, without the batch axis.
    """
    height, width = photo_size
    scale = np.array([width / size[1], height / size[0]] * 2)
    boxes = np.clip(found["boxes"] * scale, 0, [width, height, width, height]).astype(np.float32)
    kept = (found["scores"] > 0) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    columns = found["columns"][kept]
    paste = paste_mask_rounded if spec.conventions.background_first else paste_mask
    masks = None
    if "masks" in found:
        pasted = [
            paste(mask, box, (height, width))
            for mask, box in zip(found["masks"][kept], boxes[kept].astype(np.float64), strict=True)
        ]
        masks = np.array(pasted, bool).reshape(len(pasted), height, width)
    # torchvision's columns are numbered as COCO's categories are, with the gaps; detectron2's are not.
    gaps_closed = not spec.conventions.background_first and spec.classes == len(CATEGORIES)
    categories = CATEGORIES[columns] if gaps_closed else columns
    return Instances(boxes[kept], found["scores"][kept], categories, masks)


@jax.jit
def _detect(detector: Recognizer, x: Float[Array, "1 h w 3"]) -> dict[str, Array]:
    network: RCNN = detector.network
    sizes = jnp.array([x.shape[1:3]], jnp.float32)
    found = network.apply(
        {"params": detector.params}, detector.preprocessing.normalise(x), sizes, method="detect"
    )
    return _shown(found)


@partial(jax.jit, static_argnums=(1, 3))
def _detect_from(
    detector: Recognizer, tap: str, maps: Float[Array, "1 h w c"], size: tuple[int, int]
) -> dict[str, Array]:
    sizes = jnp.array([size], jnp.float32)
    return _shown(detector.network.apply({"params": detector.params}, maps, sizes, tap, method="detect"))


def _shown(found: dict[str, Array]) -> dict[str, Array]:
    return {name: found[name] for name in ("boxes", "scores", "columns", "masks") if name in found}


def _scale(height: int, width: int) -> float:
    return min(SHORT / min(height, width), LONG / max(height, width))
