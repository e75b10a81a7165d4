"""Masks in an image: full ones fill their box, and nothing is drawn outside."""

from collections.abc import Callable

import numpy as np
import pytest

from icm_jax.recognizers.detection.masks import paste_mask, paste_mask_rounded

FULL = np.ones((28, 28))


@pytest.mark.parametrize("box", [(3, 4, 12, 9), (-5, -6, 8, 50), (0, 0, 40, 30)])
def test_a_full_mask_fills_its_box(box: tuple[int, ...]):
    pasted = paste_mask(FULL, np.array(box, float), (30, 40))
    expected = np.zeros((30, 40), bool)
    expected[max(box[1], 0) : box[3], max(box[0], 0) : box[2]] = True
    np.testing.assert_array_equal(pasted, expected)


@pytest.mark.parametrize("paste", [paste_mask, paste_mask_rounded])
def test_a_half_mask_keeps_its_side(paste: Callable[..., np.ndarray]):
    mask = FULL.copy()
    mask[:, 14:] = 0
    pasted = paste(mask, np.array([10.0, 10.0, 66.0, 66.0]), (80, 80))
    assert pasted[15:60, 15:35].all()
    assert not pasted[:, 42:].any()
    assert not pasted[:8].any()


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (50, 5, 60, 9), (-20, -20, -10, -10)])
def test_boxes_without_pixels(box: tuple[int, ...]):
    assert not paste_mask(FULL, np.array(box, float), (30, 40)).any()


@pytest.mark.parity
@pytest.mark.parametrize("box", [(3.7, 4.2, 12.9, 19.5), (-5.5, -6.1, 8.3, 50.0), (1.0, 2.0, 1.5, 2.2)])
def test_rounded_paste_is_that_of_torch(box: tuple[float, ...]):
    import torch

    mask = np.random.default_rng(0).uniform(size=(28, 28))
    size, grown = (30, 40), np.pad(mask, 1)
    centre, half = np.add(box[:2], box[2:]) / 2, np.subtract(box[2:], box[:2]) / 2 * 30 / 28
    x0, y0, x1, y1 = np.concatenate([centre - half, centre + half]).astype(int)
    inside = (max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1))
    resized = torch.nn.functional.interpolate(torch.tensor(grown)[None, None], inside, mode="bilinear")[0, 0]
    expected = np.zeros(size, bool)
    for y in range(max(y0, 0), min(y1 + 1, size[0])):
        for x in range(max(x0, 0), min(x1 + 1, size[1])):
            expected[y, x] = resized[y - y0, x - x0] > 0.5
    np.testing.assert_array_equal(paste_mask_rounded(mask, np.array(box), size), expected)
