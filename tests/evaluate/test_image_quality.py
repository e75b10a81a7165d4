"""PSNR and MS-SSIM: closed forms, the definition written out, small sizes, the public implementation."""

import itertools

import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.evaluate.image_quality import SCALE_WEIGHTS, ms_ssim, ms_ssim_db, psnr, scale_count


def _noise(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def _photo_like(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Smooth waves with some grain: MS-SSIM of pure noise says little."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]][..., None] / np.array([7.0, 11.0, 17.0])
    waves = 128 + 60 * np.sin(rows + seed) + 40 * np.cos(columns) + rng.normal(0, 8, (*shape, 3))
    return np.clip(waves, 0, 255).astype(np.uint8)


def test_psnr_of_a_known_difference() -> None:
    a = np.full((4, 5, 3), 100, np.uint8)
    b = a.copy()
    b[0, 0, 0] = 110  # one of 60 samples is off by 10
    assert psnr(a, b) == pytest.approx(10 * np.log10(255**2 / (100 / 60)))
    assert psnr(a, a) == float("inf")
    assert psnr(np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)) == pytest.approx(0.0)


@pytest.mark.parametrize(
    "short_side, scales", [(1, 1), (20, 1), (21, 2), (40, 2), (41, 3), (160, 4), (161, 5), (4000, 5)]
)
def test_scales_follow_the_short_side(short_side: int, scales: int) -> None:
    assert scale_count(short_side, 5000) == scale_count(5000, short_side) == scales


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 30), (2, 2), (10, 11), (11, 11), (13, 21), (45, 90), (161, 170)]
)
def test_ms_ssim_at_every_size(shape: tuple[int, int]) -> None:
    a, b = _photo_like(shape), _noise(shape, 1)
    assert ms_ssim(a, a) == pytest.approx(1.0, abs=1e-12)
    assert 0 <= ms_ssim(a, b) < 1
    assert ms_ssim(a, b) == pytest.approx(ms_ssim(b, a), abs=1e-12)


def test_one_scale_is_ssim_by_definition() -> None:
    """At 11 to 20 pixels MS-SSIM is plain SSIM: written out here window by window."""
    a, b = _photo_like((13, 12)), _photo_like((13, 12), seed=3)
    window_1d = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(window_1d, window_1d) / window_1d.sum() ** 2
    values = []
    for channel in range(3):
        scores = []
        for row, column in itertools.product(range(3), range(2)):
            x = a[row : row + 11, column : column + 11, channel].astype(float)
            y = b[row : row + 11, column : column + 11, channel].astype(float)
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            scores.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
        values.append(max(float(np.mean(scores)), 0) ** sum(SCALE_WEIGHTS))
    assert ms_ssim(a, b) == pytest.approx(np.mean(values), abs=1e-10)


def test_more_noise_is_less_similar() -> None:
    a = _photo_like((176, 200))
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 1, a.shape)
    scores = [ms_ssim(a, np.clip(a + s * noise, 0, 255).astype(np.uint8)) for s in (2, 8, 20, 50)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.99 > scores[-1]


@pytest.mark.parametrize("shape", [(176, 208), (192, 176)])
def test_ms_ssim_agrees_with_pytorch_msssim(shape: tuple[int, int]) -> None:
    """Sizes that halve evenly: at odd ones that package pads with black and differs in the third digit."""
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("pytorch_msssim")
    a = _photo_like(shape)
    b = np.clip(a + np.random.default_rng(1).normal(0, 15, a.shape), 0, 255).astype(np.uint8)
    x, y = (torch.tensor(np.moveaxis(image, -1, 0)[None].astype(np.float64)) for image in (a, b))
    assert ms_ssim(a, b) == pytest.approx(reference.ms_ssim(x, y, data_range=255).item(), abs=2e-5)


def test_decibel_scale() -> None:
    assert ms_ssim_db(0.99) == pytest.approx(20.0)
    assert ms_ssim_db(1.0) == float("inf")


@pytest.mark.parametrize("measure", [psnr, ms_ssim])
def test_refuses_what_it_cannot_compare(measure) -> None:
    image = np.zeros((8, 9, 3), np.uint8)
    with pytest.raises(IcmError, match=r"\[8, 9, 3\].*\[9, 8, 3\]"):
        measure(image, np.zeros((9, 8, 3), np.uint8))
    for wrong in (image.astype(np.float32), image[..., 0], image[..., :2], image[:0]):
        with pytest.raises(IcmError, match="uint8"):
            measure(wrong, wrong)
