import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.metrics import Saliency
from icm_jax.metrics.saliency import IMAGE_THRESHOLDS, SET_THRESHOLDS


def counted_plainly(p: np.ndarray, truth: np.ndarray) -> tuple[list[float], list[tuple[int, int]]]:
    """IoU of one image at its thresholds, hits and predictions at those of the set, threshold by threshold."""
    iou = []
    for threshold in IMAGE_THRESHOLDS:
        union = ((p > threshold) | truth).sum()
        iou.append(((p > threshold) & truth).sum() / union if union else 1.0)
    return iou, [(((p >= t) & truth).sum(), (p >= t).sum()) for t in SET_THRESHOLDS]


def test_histograms_equal_counting_at_each_threshold():
    rng = np.random.default_rng(3)
    p = np.round(rng.random((1, 30, 30)) * 20) / 20  # many values lie on thresholds
    truth = rng.random((1, 30, 30)) < 0.4
    counted = Saliency.empty().update(p, truth.astype(np.uint8))
    iou, pixels = counted_plainly(p, truth)
    np.testing.assert_array_equal(counted.image_sums[0], iou)
    np.testing.assert_array_equal(counted.set_counts[:2].T, pixels)


def test_empty_label_and_prediction_agree_fully():
    nothing = np.zeros((1, 4, 4))
    score = Saliency.empty().update(nothing, nothing.astype(int)).compute()
    assert (score.miou, score.max_f_beta1, score.max_f_beta03) == (1, 0, 0)


def test_a_perfect_map():
    truth = np.arange(16).reshape(1, 4, 4) % 2
    score = Saliency.empty().update(truth * 0.999, truth).compute()
    assert score.miou == 1
    assert score.max_f_beta1 == pytest.approx(1)
    assert score.max_f_beta03 == pytest.approx(1)


def test_values_out_of_range_are_named():
    zeros = np.zeros((1, 2, 2), int)
    with pytest.raises(IcmError, match=r"from -3 to -3.*pass the sigmoid"):
        Saliency.empty().update(zeros - 3.0, zeros)
    with pytest.raises(IcmError, match="found 128"):
        Saliency.empty().update(zeros * 0.5, zeros + 128)
