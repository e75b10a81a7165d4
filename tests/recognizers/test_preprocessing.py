"""Input rules: sizes, order of channels, padding, gradients."""

import jax
import numpy as np
import pytest

from icm_jax.recognizers import mobilenet_v2, resnet, u2netp
from icm_jax.recognizers.detection.inference import (
    PREPROCESSING_DETECTRON2,
    PREPROCESSING_TORCHVISION,
    resize_detectron2,
    resize_torchvision,
)
from icm_jax.recognizers.preprocessing import ShortSideCrop


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_short_side_and_crop():
    assert ShortSideCrop(256, 224)(photo(300, 500)).shape == (224, 224, 3)
    square = photo(256, 256)
    np.testing.assert_array_equal(mobilenet_v2.PREPROCESSING.resize(square), square[16:240, 16:240])


@pytest.mark.parametrize(
    ("size", "rounded", "floored"),
    [
        ((480, 640), (800, 1067), (800, 1066)),
        ((427, 640), (800, 1199), (800, 1199)),
        ((200, 900), (296, 1333), (296, 1333)),
    ],
)
def test_sizes_of_detectors(size: tuple[int, int], rounded: tuple[int, int], floored: tuple[int, int]):
    assert resize_detectron2(photo(*size)).shape[:2] == rounded
    assert resize_torchvision(photo(*size)).shape[:2] == floored


def test_detectron2_takes_bgr_without_its_mean_and_pads_with_zeros():
    image = photo(40, 50)[None]
    x = np.asarray(PREPROCESSING_DETECTRON2.normalise(image / np.float32(255)))
    assert x.shape == (1, 64, 64, 3)
    assert (x[:, 40:] == 0).all() and (x[:, :, 50:] == 0).all()
    expected = image[..., ::-1] - np.array([103.53, 116.28, 123.675])
    np.testing.assert_allclose(x[:, :40, :50], expected, atol=1e-4)


def test_torchvision_takes_rgb_by_mean_and_deviation():
    x = PREPROCESSING_TORCHVISION.normalise(np.full((1, 32, 32, 3), 0.5, np.float32))
    expected = (0.5 - np.array(resnet.PREPROCESSING.mean)) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(x[0, 0, 0], expected, rtol=1e-5)


def test_every_image_is_divided_by_its_own_maximum():
    images = np.stack([np.full((4, 4, 3), 0.25), np.zeros((4, 4, 3))]).astype(np.float32)
    x = np.asarray(u2netp.PREPROCESSING.normalise(images))
    ones = (1 - np.array(u2netp.PREPROCESSING.mean)) / u2netp.PREPROCESSING.std
    np.testing.assert_allclose(x[0, 0, 0], ones, rtol=1e-6)
    assert np.isfinite(x).all()


def test_gradients_reach_the_image():
    gradient = jax.grad(lambda x: PREPROCESSING_DETECTRON2.normalise(x).sum())(
        np.ones((1, 8, 8, 3), np.float32)
    )
    np.testing.assert_allclose(gradient, 255)
