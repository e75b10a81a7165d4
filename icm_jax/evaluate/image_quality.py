"""PSNR and MS-SSIM of two 8-bit RGB images.

MS-SSIM: Z. Wang, E. Simoncelli, A. Bovik, "Multi-scale structural similarity for image quality assessment",
Asilomar 2003: luminance at the coarsest scale only, contrast times structure at every scale.
"""

import numpy as np
from scipy import ndimage

from icm_jax.errors import IcmError

PEAK = 255.0
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest first; sum 1.0001 as published
WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
C1 = (0.01 * PEAK) ** 2
C2 = (0.03 * PEAK) ** 2


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 [H, W, 3] images; infinite when they are equal.

    The mean squared error runs over all samples of the three channels, in float64.
    """
    _check_pair(a, b)
    mse = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if mse == 0 else 10 * float(np.log10(PEAK**2 / mse))


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Multi-scale structural similarity of two uint8 [H, W, 3] images; 1 when they are equal.

    Computed for each of R, G and B, then averaged, as learned-compression papers do. Five scales need more
    than 160 pixels on the short side; a smaller image gets as many scales as hold the 11-pixel window, with
    their weights scaled to the same sum, and below 11 pixels the window shrinks to the largest odd size that
    fits. Negative contrast-structure terms count as 0, so that their fractional powers exist.
    """
    _check_pair(a, b)
    x, y = (np.moveaxis(image, -1, 0).astype(np.float64) for image in (a, b))
    weights = np.array(SCALE_WEIGHTS[: scale_count(a.shape[0], a.shape[1])])
    weights *= sum(SCALE_WEIGHTS) / weights.sum()
    similarity = np.ones(3)
    for scale, weight in enumerate(weights):
        luminance, contrast_structure = _ssim_maps(x, y)
        is_coarsest = scale == len(weights) - 1
        term = luminance * contrast_structure if is_coarsest else contrast_structure
        similarity *= np.maximum(term.mean(axis=(1, 2)), 0) ** weight
        if not is_coarsest:
            x, y = _halve(x), _halve(y)
    return float(similarity.mean())


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on the scale -10 log10(1 - value) dB, where differences near 1 can be seen; infinite at 1."""
    return float("inf") if value >= 1 else -10 * float(np.log10(1 - value))


def scale_count(height: int, width: int) -> int:
    """How many of the five scales an image of this size supports (at least one)."""
    short_side = min(height, width)
    limits = [(WINDOW_SIZE - 1) << scale for scale in range(1, len(SCALE_WEIGHTS))]
    return 1 + sum(short_side > limit for limit in limits)


def _ssim_maps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance and contrast-structure maps [3, h, w] at the positions where the window lies inside."""
    moments = _blur(np.stack([x, y, x * x, y * y, x * y]))
    mean_x, mean_y = moments[0], moments[1]
    var_x, var_y = moments[2] - mean_x**2, moments[3] - mean_y**2
    covariance = moments[4] - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return luminance, (2 * covariance + C2) / (var_x + var_y + C2)


def _blur(planes: np.ndarray) -> np.ndarray:
    """Separable Gaussian window over the last two axes, valid positions only."""
    for axis in (-2, -1):
        length = planes.shape[axis]
        size = min(WINDOW_SIZE, length - 1 + length % 2)
        offsets = np.arange(size) - size // 2
        window = np.exp(-(offsets**2) / (2 * WINDOW_SIGMA**2))
        blurred = ndimage.correlate1d(planes, window / window.sum(), axis=axis)
        inside = slice(size // 2, length - size // 2)
        planes = blurred[..., inside] if axis == -1 else blurred[..., inside, :]
    return planes


def _halve(planes: np.ndarray) -> np.ndarray:
    """Means of 2x2 samples of [3, H, W] planes; an odd last row or column counts twice."""
    height, width = planes.shape[-2:]
    planes = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    pair_means = (planes[:, ::2] + planes[:, 1::2]) / 2
    halved: np.ndarray = (pair_means[:, :, ::2] + pair_means[:, :, 1::2]) / 2
    return halved


def _check_pair(a: np.ndarray, b: np.ndarray) -> None:
    for image in (a, b):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or image.size == 0:
            got = f"{image.dtype} {list(image.shape)}"
            raise IcmError(f"expected a uint8 image [H, W, 3], got {got}; convert it to 8-bit RGB")
    if a.shape != b.shape:
        sizes = f"{list(a.shape)} and {list(b.shape)}"
        raise IcmError(f"images of {sizes} cannot be compared; crop or resize one of them")
