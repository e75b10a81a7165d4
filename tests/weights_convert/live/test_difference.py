"""Differences, the text, the JSON and the page of a comparison; no PyTorch needed."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from icm_jax.cli import main
from weights_convert.live import report
from weights_convert.live.comparison import AdamStep, Comparison, Departure
from weights_convert.live.difference import Difference, difference


def test_one_element_that_is_off_is_found():
    theirs = np.linspace(1, 2, 24, dtype=np.float32).reshape(2, 3, 4)
    ours = theirs.copy()
    ours[1, 2, 0] += 3 * np.spacing(theirs[1, 2, 0])
    found = difference("stage", ours, theirs)
    assert found.worst == (1, 2, 0) and found.ulps == (0.0, pytest.approx(3 * 0.77, abs=0.5), 3.0)
    assert found.max_abs == pytest.approx(3 * 2.0**-23) and found.relative == found.max_abs / 2
    assert (found.ours, found.theirs) == (ours[1, 2, 0], theirs[1, 2, 0])
    assert 1 - found.cosine < 1e-12


def test_a_wrong_sign_and_nothing_at_all():
    theirs = np.array([1.0, -2.0, 3.0])
    assert difference("x", -theirs, theirs).cosine == pytest.approx(-1)
    assert difference("x", np.zeros(3), np.zeros(3)).cosine == 1
    assert difference("x", np.ones(3), np.zeros(3)).cosine == 0
    assert difference("x", np.full(3, 1e-30), np.zeros(3), floor=1.0).relative == 1e-30
    with pytest.raises(ValueError, match=r"shape \(3,\) here, \(2,\) there"):
        difference("x", theirs, theirs[:2])


def comparisons(worst: float, apart: float = 1e-6) -> list[Comparison]:
    theirs = np.arange(1, 5, dtype=np.float32)
    rows: list[Difference] = [difference(f"stage<{i}>", theirs * (1 + i * worst), theirs) for i in range(3)]
    steps = {"polynomial": [AdamStep(i, 2.0 - i, 2.0 - i, apart, 1e-3 * i) for i in range(4)]}
    reference = {row.name: 1e-8 for row in rows}
    own = {row.name: row.relative for row in rows}
    departures = [Departure("a <default>", 0.25)]
    return [
        Comparison("float32", rows, rows[:1], steps, reference, own, 1e-4, departures),
        Comparison("float64", rows[:1] * 3, rows[:1], steps, {}, {}, 1e-10, departures),
    ]


class Words(NamedTuple):
    passed: bool
    text: str


@pytest.mark.parametrize(("worst", "expected"), [(1e-6, Words(True, "pass")), (1e-3, Words(False, "FAIL"))])
def test_a_verdict_follows_the_limit(worst: float, expected: Words):
    found = comparisons(worst)
    assert found[0].passed == expected.passed and found[1].passed
    assert f"stages within 1e-04: {expected.text}" in report.format_text("case", found)


def test_a_verdict_is_of_gradients_and_parameters_too():
    found = comparisons(1e-6)[0]
    assert not found._replace(gradients=comparisons(1e-3)[0].stages).passed
    assert comparisons(1e-6, apart=0.9e-4)[0].passed and not comparisons(1e-6, apart=1.1e-4)[0].passed


def test_a_stage_may_be_apart_if_it_is_as_near_to_float64():
    found = comparisons(1e-3)[0]
    near, far = ({row.name: error for row in found.stages} for error in (0.9e-4, 1.1e-4))
    assert not found.passed and found._replace(own_error=near).passed
    assert not found._replace(own_error=far).passed
    assert not found._replace(reference_error=near).passed


def test_files_are_written(tmp_path: Path):
    report.write_report(tmp_path / "out", "case", "a <title>", comparisons(1e-6), {"seed": 3})
    record = json.loads((tmp_path / "out" / "case.json").read_text())
    assert record["seed"] == 3 and len(record["comparisons"][0]["adam"]["polynomial"]) == 4
    assert record["departures"] == [{"what": "a <default>", "relative": 0.25}]
    page = (tmp_path / "out" / "case.html").read_text()
    assert "a &lt;default&gt;<td>2.5e-01" in page and "4 steps of Adam, polynomial" in page
    assert "a &lt;title&gt;" in page and "stage&lt;2&gt;" in page and page.count("<polyline") == 4


def test_what_can_not_be_compared_is_one_line(capsys: pytest.CaptureFixture[str]):
    assert main(["parity"]) == 2
    assert "give golden files, or networks with --live" in capsys.readouterr().err
    assert main(["parity", "--live", "alexnet"]) == 2
    message = capsys.readouterr().err
    assert "choose one of tic, tic-original, swin" in message or "pip install 'icm-jax[parity]'" in message
