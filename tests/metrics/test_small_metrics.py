"""Top-k, Δm and rates."""

import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.metrics import Rate, TopK, delta_m


def test_of_equal_logits_the_lower_index_is_first():
    logits = np.zeros((3, 8))
    counted = TopK.empty().update(logits, np.array([0, 4, 5]))
    assert (counted.first, counted.first_five) == (1, 2)


def test_logits_that_are_not_numbers_never_hit():
    assert TopK.empty().update(np.full((2, 3), np.nan), np.array([0, 1])).first_five == 0


def test_class_lists_that_differ_are_named():
    with pytest.raises(IcmError, match="from 0 to 1000, the limits are 0 and 999"):
        TopK.empty().update(np.zeros((2, 1000)), np.array([0, 1000]))
    with pytest.raises(IcmError, match="must be"):
        TopK.empty().update(np.zeros((2, 3, 1000)), np.zeros(2, int))


def test_delta_m_of_published_gains():
    multi, single = [9.61, 5.29, 4.53, 1.20], [8.45, 4.78, 2.76, 1.09]
    assert delta_m(multi, single, [False] * 4) == pytest.approx(0.247, abs=5e-4)
    assert delta_m([0.9], [1.0], [True]) == pytest.approx(0.1)


def test_delta_m_needs_a_base():
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(IcmError, match="no base"):
            delta_m([1.0], [value], [False])
    with pytest.raises(IcmError, match="do not match"):
        delta_m([1.0, 2.0], [1.0], [False])
    with pytest.raises(IcmError, match="at least one task"):
        delta_m([], [], [])


def test_both_averages_of_a_rate():
    score = Rate.empty().update(100, 10, 10).update(100, 20, 20).compute()
    assert score.bpp_pixels == pytest.approx(1600 / 500)
    assert score.bpp_images == pytest.approx((8 + 2) / 2)
    with pytest.raises(IcmError, match="0x10"):
        Rate.empty().update(5, 10, 0)
