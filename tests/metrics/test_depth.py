import numpy as np
import pytest

from icm_jax.metrics import Depth


def test_pixels_of_the_set_against_images():
    label = np.array([[[1.0, 1.0, 1.0, 1.0]], [[2.0, 0.0, 255.0, 255.0]]])
    prediction = np.array([[[1.0, 1.0, 1.0, 1.0]], [[4.0, 9.0, 9.0, 9.0]]])
    score = Depth.empty().update(prediction, label).compute()
    assert score.rmse == pytest.approx(np.sqrt(4 / 5))
    assert score.rmse_image_mean == pytest.approx((0 + 2) / 2)
    assert score.log_rmse == pytest.approx(np.sqrt(np.log(2) ** 2 / 5))
    assert score.abs_rel == pytest.approx((2 / 2) / 5)
    assert score.sq_rel == pytest.approx((4 / 2) / 5)


def test_negative_predictions_are_lifted_before_the_logarithm():
    score = Depth.empty().update(np.full((1, 1, 1), -3.0), np.ones((1, 1, 1))).compute()
    assert score.rmse == pytest.approx(1)
    assert score.log_rmse == pytest.approx(-np.log(1e-9))


def test_an_image_without_labels_has_no_rmse_of_its_own():
    label = np.stack([np.ones((2, 2)), np.full((2, 2), 255.0)])
    assert Depth.empty().update(np.full((2, 2, 2), 3.0), label).compute().rmse_image_mean == 2
