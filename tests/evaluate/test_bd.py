"""BD deltas: known answers, every way a pair of curves can be unfit, and the fit for curves that fold back."""

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.evaluate.bd import FEWEST_POINTS, bd_accuracy, bd_rate
from icm_jax.evaluate.monotone_fit import fit_monotone

METHODS = list(FEWEST_POINTS)
RATE = [0.1, 0.2, 0.4, 0.8, 1.6]
ACCURACY = [40.0, 50.0, 57.0, 61.0, 63.0]
FOLDED = [40.0, 50.0, 49.0, 61.0, 63.0]

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("bjontegaard") is None, reason="needs the extra eval"
)


def halved(rate: list[float]) -> list[float]:
    return [value / 2 for value in rate]


@needs_package
@pytest.mark.parametrize("method", METHODS)
def test_half_the_rate_is_minus_fifty_per_cent(method: Any):
    result = bd_rate(RATE, ACCURACY, halved(RATE), ACCURACY, method)
    assert result.value == pytest.approx(-50)
    assert (result.overlap, result.reason, result.non_monotone) == (1, "", ())
    assert np.isnan(result.fit_value)


@needs_package
@pytest.mark.parametrize("method", METHODS)
def test_two_more_points_of_accuracy(method: Any):
    better = [value + 2 for value in ACCURACY]
    assert bd_accuracy(RATE, ACCURACY, RATE, better, method).value == pytest.approx(2)
    errors, fewer = [100 - value for value in ACCURACY], [98 - value for value in ACCURACY]
    lower = bd_accuracy(RATE, errors, RATE, fewer, method, lower_is_better=True)
    assert lower.value == pytest.approx(2)


@needs_package
@pytest.mark.parametrize("method", METHODS)
def test_points_may_come_in_any_order(method: Any):
    order = [3, 0, 4, 1, 2]
    rate, accuracy = ([values[i] for i in order] for values in (halved(RATE), ACCURACY))
    assert bd_rate(RATE, ACCURACY, rate, accuracy, method).value == pytest.approx(-50)


@needs_package
def test_numbers_of_points_may_differ():
    result = bd_rate(RATE, ACCURACY, halved(RATE)[:4], ACCURACY[:4], "pchip")
    assert result.overlap == pytest.approx((61 - 40) / (63 - 40))
    assert result.value < 0


def test_curves_that_share_nothing():
    far = [value + 40 for value in ACCURACY]
    result = bd_rate(RATE, ACCURACY, RATE, far)
    assert np.isnan(result.value)
    assert (result.overlap, result.reason) == (0, "the curves share no accuracy")
    result = bd_accuracy(RATE, ACCURACY, [100 * value for value in RATE], ACCURACY)
    assert np.isnan(result.value)
    assert result.reason == "the curves share no rate"


def test_too_little_overlap():
    result = bd_rate(RATE, ACCURACY, RATE, [value + 12 for value in ACCURACY], min_overlap=0.75)
    assert np.isnan(result.value)
    assert result.reason == "the curves share 31% of their accuracy, the limit is 75%"


@needs_package
@pytest.mark.parametrize("method", METHODS)
def test_a_folded_curve_gets_a_reason_and_a_fit(method: Any):
    result = bd_rate(RATE, ACCURACY, halved(RATE), FOLDED, method, bounds=(0, 100))
    assert np.isnan(result.value)
    assert result.non_monotone == ("curve",)
    assert result.reason == "accuracy of the curve does not rise with rate"
    assert -60 < result.fit_value < -20
    accuracy = bd_accuracy(RATE, ACCURACY, halved(RATE), FOLDED, method)
    assert accuracy.non_monotone == ("curve",)
    assert np.isfinite(accuracy.value)


@needs_package
def test_a_folded_metric_where_lower_is_better():
    errors, folded = ([100 - value for value in values] for values in (ACCURACY, FOLDED))
    lower = bd_rate(RATE, folded, halved(RATE), errors, lower_is_better=True, bounds=(0, 100))
    higher = bd_rate(RATE, FOLDED, halved(RATE), ACCURACY, bounds=(0, 100))
    assert lower.non_monotone == ("anchor",)
    assert lower.fit_value == pytest.approx(higher.fit_value, abs=1e-3)


def test_a_falling_curve_has_no_fit_to_speak_of():
    result = bd_rate(RATE, ACCURACY, RATE, ACCURACY[::-1])
    assert np.isnan(result.fit_value)
    assert "the monotone fit of the curve is flat" in result.reason


def test_bounds_that_exclude_every_fit_are_a_reason_not_an_error():
    result = bd_rate(RATE, ACCURACY, RATE, FOLDED, bounds=(70.0, 20.0))
    assert np.isnan(result.fit_value)
    assert "no monotone fit to 5 points" in result.reason


@pytest.mark.parametrize("method", METHODS)
def test_too_few_points(method: Any):
    count = FEWEST_POINTS[method] - 1
    with pytest.raises(IcmError, match=f"the curve has {count} points, {method} needs at least {count + 1}"):
        bd_rate(RATE, ACCURACY, RATE[:count], ACCURACY[:count], method)


@needs_package
def test_three_points_do_for_pchip():
    assert bd_rate(RATE, ACCURACY, halved(RATE)[:3], ACCURACY[:3], "pchip").value < 0


@pytest.mark.parametrize(
    ("rate", "accuracy", "what"),
    [
        ([0.1, 0.2, 0.2, 0.8, 1.6], ACCURACY, "rate 0.2 twice"),
        ([0.0, *RATE[1:]], ACCURACY, "0 or less"),
        (RATE, [float("inf"), *ACCURACY[1:]], "not finite"),
        (RATE, ACCURACY[:4], "5 rates and 4 accuracies"),
    ],
)
def test_points_that_are_wrong(rate: list[float], accuracy: list[float], what: str):
    with pytest.raises(IcmError, match=f"the anchor has .*{what}"):
        bd_rate(rate, accuracy, RATE, ACCURACY)


def test_unknown_methods_and_missing_package(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(IcmError, match=r"'spline' is unknown; known: cubic"):
        bd_rate(RATE, ACCURACY, RATE, ACCURACY, "spline")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(IcmError, match=r"icm-jax\[eval\]"):
        bd_rate(RATE, ACCURACY, halved(RATE), ACCURACY)


def test_a_fit_that_needs_no_constraint_is_the_cubic_through_the_points():
    x = np.log10(RATE[:4])
    quality = 60 + 8 * x - 3 * x**2 + x**3 * 0.5
    np.testing.assert_allclose(fit_monotone(x, quality), quality, atol=1e-4)


def test_a_fit_rises_ever_more_slowly_within_bounds():
    rng = np.random.default_rng(4)
    for _ in range(10):
        x = np.sort(rng.uniform(-1, 1, 6))
        fit = fit_monotone(x, rng.uniform(90, 110, 6), (0, 100))
        slopes = np.diff(fit) / np.diff(x)
        assert (slopes >= -1e-3).all()
        assert fit.max() <= 100 + 1e-6
