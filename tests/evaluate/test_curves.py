"""Rate-distortion curves: interpolation, cutting, tables."""

import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.evaluate.curves import curves_of, gain_table, make_curve, markdown_table
from tests.evaluate.made_results import RMSE, TOP1, made_result

OURS = made_result("tic", [0.1, 0.4, 1.6], {"psnr": [26.0, 30.0, 34.0], "ms_ssim_db": [10.0] * 3})
WEBP = made_result("webp", [0.2, 0.8], {"psnr": [25.0, 29.0], "ms_ssim_db": [10.0] * 2})


def test_interpolation_is_linear_where_the_points_are_linear_in_log_rate() -> None:
    curve = make_curve("tic", [1.6, 0.1, 0.4], [34, 26, 30])  # 2 dB a doubling, given unsorted
    assert curve.at(0.2) == pytest.approx(28)
    assert curve.at(0.8) == pytest.approx(32)
    assert [curve.at(rate) for rate in curve.bpp] == pytest.approx(list(curve.value))


def test_nothing_is_extrapolated() -> None:
    curve = make_curve("tic", [0.1, 0.4], [26, 30])
    assert np.isnan(curve.at(0.0999)) and np.isnan(curve.at(0.4001))
    lonely = make_curve("tic", [0.3], [28])
    assert lonely.at(0.3) == 28 and np.isnan(lonely.at(0.31))


def test_interpolation_does_not_overshoot() -> None:
    curve = make_curve("tic", [0.1, 0.2, 0.4, 0.8], [20, 30, 30.1, 30.2])
    values = [curve.at(rate) for rate in np.linspace(0.1, 0.8, 50)]
    assert values == sorted(values) and max(values) <= 30.2 + 1e-9


def test_equal_rates_keep_the_best_and_infinite_values_go() -> None:
    curve = make_curve("tic", [0.2, 0.2, 5.0], [27, 28, np.inf])
    assert list(curve.bpp) == [0.2] and list(curve.value) == [28]
    with pytest.raises(IcmError, match="lossy"):
        make_curve("tic", [3.0], [np.inf])


def test_cutting_ends_exactly_at_the_rate() -> None:
    curve = make_curve("tic", [0.1, 0.4, 1.6], [26, 30, 34])
    cut = curve.upto(0.8)
    assert list(cut.bpp) == [0.1, 0.4, 0.8] and cut.value[-1] == pytest.approx(curve.at(0.8))
    assert cut.cut and list(cut.measured[0]) == [0.1, 0.4]
    assert len(curve.upto(0.05).bpp) == 0
    for limit in (1.6, 2):  # nothing is interpolated
        whole = curve.upto(limit)
        assert not whole.cut and list(whole.measured[0]) == list(curve.bpp)
    assert not curve.upto(0.4).cut


def test_curves_of_results() -> None:
    ours, webp = curves_of([OURS, WEBP])
    assert (ours.label, ours.is_anchor, len(ours.bpp)) == ("tic", False, 3)
    assert (webp.label, webp.is_anchor, len(webp.bpp)) == ("WebP", True, 2)
    assert list(curves_of([OURS], "ms_ssim_db")[0].value) == [10.0] * 3
    assert curves_of([OURS], "top1") == []
    renamed = made_result("my JPEG", [0.2], {"psnr": [25.0]}, codec="jpeg-at-rate")
    (curve,) = curves_of([renamed])
    assert curve.is_anchor and curve.label == "my JPEG" and curve.upto(0.3).is_anchor


def test_gain_is_ours_minus_theirs_or_not_available() -> None:
    row = gain_table([OURS, WEBP], "tic", (0.15, 0.4, 0.8, 1.0)).splitlines()[-1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "tic minus WebP",
        "n/a",
        "+3.00",
        "+3.00",
        "n/a",
    ]
    with pytest.raises(IcmError, match=r"'other'.*tic, webp"):
        gain_table([OURS, WEBP], "other", (0.4,))


def test_markdown_table_has_a_row_a_point() -> None:
    lossless = made_result("webp", [9.0], {"psnr": [None], "ms_ssim_db": [None]})
    text = markdown_table([OURS, lossless])
    lines = text.splitlines()
    assert lines[0] == "Over 2 images."
    assert len({len(line) for line in lines[2:]}) == 1  # aligned
    assert "| tic   |       2 | 0.4000 |        0.4000 |     30.00 |" in text
    assert "∞" in lines[-1] and "| webp  |       1 | 9.0000 |               |" in lines[-1]


def test_markdown_table_ends_with_the_originals() -> None:
    metrics = (TOP1, RMSE)
    scores = {"top1": [50.0, 60.0], "rmse": [0.5, 0.25]}
    made = made_result("tic", [0.1, 0.4], scores, metrics, uncompressed={"top1": 70.0, "rmse": 0.2})
    last = markdown_table([made]).splitlines()[-1]
    assert [cell.strip() for cell in last.strip("|").split("|")] == [
        "uncompressed",
        *["", "", ""],
        "70.00",
        "0.200",
        *["", ""],
    ]
