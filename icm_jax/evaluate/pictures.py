"""Maps made visible: where a codec spends its bits and where it errs, as uint8 RGB pictures."""

import numpy as np

LATENT_STRIDE = 16  # pixels a latent position covers in each direction
ERROR_LIMIT = 32.0  # mean absolute error (of 255) drawn as the brightest colour
BITS_PERCENTILE = 99.5  # a single expensive block must not darken the whole map
PHOTO_SHARE = 0.3  # how much of the photo shows through the bit map

# Dark to bright with even steps in lightness, so that it also reads in grey.
HEAT = ("#0b0724", "#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf")


def bit_picture(
    image: np.ndarray, bit_map: np.ndarray, limit: float | None = None
) -> tuple[np.ndarray, float]:
    """Colour by bits a 16x16 block over a faint grey photo; also the number of bits of the brightest colour.

    `image` is uint8 [H, W, 3], `bit_map` float [ceil(H/16), ceil(W/16)]. Without a `limit` the brightest colour is
    that of the dearest blocks.
    """
    height, width = image.shape[:2]
    limit = max(np.percentile(bit_map, BITS_PERCENTILE) if limit is None else limit, 1e-6)
    blocks = np.repeat(np.repeat(bit_map / limit, LATENT_STRIDE, axis=0), LATENT_STRIDE, axis=1)
    grey = image.mean(axis=-1, keepdims=True)
    mixed = (1 - PHOTO_SHARE) * heat(blocks[:height, :width]) + PHOTO_SHARE * grey
    return np.round(mixed).astype(np.uint8), float(limit)


def error_picture(image: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Mean absolute error of the three channels a pixel; the brightest colour is ERROR_LIMIT or more."""
    error = np.abs(image.astype(np.float32) - decoded.astype(np.float32)).mean(axis=-1)
    return np.round(heat(error / ERROR_LIMIT)).astype(np.uint8)


def heat(values: np.ndarray) -> np.ndarray:
    """Values [...], clipped to 0..1, as colours float32 [..., 3] in 0..255."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in HEAT], np.float32)
    position = np.clip(values, 0, 1).astype(np.float32) * (len(stops) - 1)
    below = np.minimum(position.astype(np.int32), len(stops) - 2)
    share = (position - below)[..., None]
    coloured: np.ndarray = stops[below] * (1 - share) + stops[below + 1] * share
    return coloured
