import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.metrics import Segmentation


def test_by_hand():
    label = np.array([[[0, 0, 1], [1, 255, 255]]], np.uint8)
    prediction = np.array([[[0, 1, 1], [1, 0, 3]]], np.uint8)
    score = Segmentation.empty(4).update(prediction, label).compute()
    np.testing.assert_allclose(score.iou, [50, 200 / 3, 0, 0])
    assert score.miou == pytest.approx((50 + 200 / 3) / 4)
    assert score.miou_present_only == pytest.approx((50 + 200 / 3) / 2)
    assert score.pixel_accuracy == pytest.approx(75)


def test_a_class_only_predicted_is_present():
    score = Segmentation.empty(3).update(np.full((1, 2, 2), 2), np.zeros((1, 2, 2), int)).compute()
    assert (score.miou, score.miou_present_only, score.pixel_accuracy) == (0, 0, 0)


@pytest.mark.parametrize(("prediction", "label"), [(5, 0), (0, 5), (-1, 0)])
def test_unknown_classes_are_named(prediction: int, label: int):
    with pytest.raises(IcmError, match=r"has class (5|-1), the limit is 4"):
        Segmentation.empty(5).update(np.full((1, 2, 2), prediction), np.full((1, 2, 2), label))


def test_other_class_lists_do_not_merge():
    with pytest.raises(IcmError, match="21 and 40"):
        Segmentation.empty(21).merge(Segmentation.empty(40))
    with pytest.raises(IcmError, match="0 classes"):
        Segmentation.empty(0)
