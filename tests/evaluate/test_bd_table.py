"""BD deltas of results: what is compared, what is refused, and how it is said."""

import json
from pathlib import Path

import pytest

from icm_jax.cli import main
from icm_jax.errors import IcmError
from icm_jax.evaluate.bd_table import bd_rows, markdown
from icm_jax.evaluate.result import read_result, write_result
from tests.evaluate.made_results import RMSE, TOP1, made_result

pytest.importorskip("bjontegaard")

RATES = [0.1, 0.2, 0.4, 0.8]
TOP1S = [40.0, 50.0, 57.0, 61.0]
ANCHOR = made_result("jpeg", RATES, {"top1": TOP1S}, (TOP1,))
HALF = made_result("tic", [rate / 2 for rate in RATES], {"top1": TOP1S}, (TOP1,))


def test_half_the_rate() -> None:
    cubic, pchip = bd_rows(ANCHOR, [HALF])
    assert (cubic.method, pchip.method) == ("cubic", "pchip")
    assert cubic.cells()[:4] == ["tic", "top1", "cubic", "-50.00"] and cubic.cells()[5] == "100"
    text = markdown([cubic, pchip])
    assert text.startswith("Against jpeg;") and "note" not in text
    assert text.count(" -50.00 |") == 2


def test_lower_is_better() -> None:
    worse, better = [0.9, 0.7, 0.6, 0.55], [0.8, 0.6, 0.5, 0.45]
    anchor = made_result("jpeg", RATES, {"rmse": worse}, (RMSE,))
    (row,) = bd_rows(anchor, [made_result("tic", RATES, {"rmse": better}, (RMSE,))], methods=("pchip",))
    assert row.rate is not None and row.rate.value < 0
    assert row.accuracy is not None and row.accuracy.value == pytest.approx(0.1)


def test_curves_that_share_nothing_say_so() -> None:
    high = made_result("tic", RATES, {"top1": [70.0, 75.0, 80.0, 85.0]}, (TOP1,))
    row = bd_rows(ANCHOR, [high])[0].cells()
    assert row[3] == "n/a" and row[5] == "0" and row[6] == "the curves share no accuracy"
    assert float(row[4]) > 20  # at equal rates they can be compared


def test_a_fold_is_named_and_the_fit_stands_beside() -> None:
    folded = made_result("tic", RATES, {"top1": [45.0, 55.0, 54.0, 63.0]}, (TOP1,))
    row = bd_rows(ANCHOR, [folded], methods=("pchip",))[0]
    assert row.cells()[3].startswith("n/a (fit -")
    assert "accuracy of the curve does not rise with rate" in row.note


def test_three_points_are_enough_for_pchip_only() -> None:
    short = made_result("tic", RATES[:3], {"top1": TOP1S[:3]}, (TOP1,))
    cubic, pchip = bd_rows(ANCHOR, [short])
    assert cubic.cells()[3] == "n/a" and "3 points, cubic needs at least 4" in cubic.note
    assert abs(float(pchip.cells()[3])) < 1 and not pchip.note


def test_what_can_not_be_compared() -> None:
    with pytest.raises(IcmError, match="differ in images and labels"):
        bd_rows(ANCHOR, [made_result("tic", RATES, {"top1": TOP1S}, (TOP1,), dataset="1" * 64)])
    with pytest.raises(IcmError, match="differ in task"):
        bd_rows(ANCHOR, [made_result("tic", RATES, {"top1": TOP1S}, (TOP1,), task="semseg")])
    with pytest.raises(IcmError, match="has no metric 'miou'; choose one of top1"):
        bd_rows(ANCHOR, [HALF], ("miou",))
    with pytest.raises(IcmError, match="tic: top1 at quality 2 is None, expected a finite number"):
        bd_rows(ANCHOR, [made_result("tic", RATES, {"top1": [1.0, None, 2.0, 3.0]}, (TOP1,))])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for result in (ANCHOR, HALF):
        write_result(tmp_path / f"{result.curve}.json", result)
    return tmp_path / "jpeg.json", tmp_path / "tic.json"


def test_results_keep_their_values(files) -> None:
    read = read_result(files[1])
    assert (read.points, read.metrics, read.dataset) == (HALF.points, HALF.metrics, HALF.dataset)


def test_command(files, tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    names = [str(file) for file in files]
    assert main(["bd", *names, "--method", "akima", "--plot", str(tmp_path / "bd.png")]) == 0
    assert "akima" in capsys.readouterr().out
    assert (tmp_path / "bd.svg").exists() and (tmp_path / "bd.png").exists()
    assert main(["bd", *names, "--json"]) == 0
    assert [row["method"] for row in json.loads(capsys.readouterr().out)] == ["cubic", "pchip"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "is not a result"),
        ('{"kind": "icm-result", "schema": 1}', "has schema 1, this version reads 2"),
        ('{"kind": "icm-result", "schema": 2}', "lacks or misnames 'curve'"),
    ],
)
def test_bad_results_are_one_line(content, message, files, capsys) -> None:
    files[0].write_text(content)
    assert main(["bd", *map(str, files)]) == 2
    error = capsys.readouterr().err
    assert str(files[0]) in error and message in error and error.count("\n") == 1
