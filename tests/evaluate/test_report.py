"""Reports: one page with everything inside, tables in three forms, printed numbers beside measured ones."""

import csv
import math
import re
from pathlib import Path

import pytest
from PIL import Image

from icm_jax.cli import main
from icm_jax.errors import IcmError
from icm_jax.evaluate.evaluation import evaluate_bench
from icm_jax.evaluate.harness import Options
from icm_jax.evaluate.layout import fill
from icm_jax.evaluate.paper_tables import LAYOUTS, get_layout
from icm_jax.evaluate.per_image import graded_metric, image_points, middle
from icm_jax.evaluate.report import write_report
from icm_jax.evaluate.result import read_results
from icm_jax.evaluate.table_files import joined
from icm_jax.metrics.metric import Metric
from tests.evaluate.made_results import RMSE, TOP1, made_result
from tests.evaluate.toy_bench import make_toy

pytest.importorskip("matplotlib")
pytest.importorskip("bjontegaard")

CODECS = ("jpeg:5,20,50,80", "my JPEG=jpeg:6,21,51,81")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, small_photos) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    for index, image in enumerate(small_photos):
        Image.fromarray(image).save(folder / f"{index}.png")
    (folder / "labels.csv").write_text("file,class_index\n0.png,3\n1.png,11\n2.png,0\n")
    make = make_toy(CODECS, folder / "labels.csv")
    evaluate_bench(make, sorted(folder.glob("*.png")), folder / "out", Options(pictures=1), "toy")
    return folder / "out"


def test_page_needs_nothing_else(evaluated: Path, tmp_path: Path) -> None:
    page = write_report(read_results([evaluated]), tmp_path / "report")
    text = page.read_text()
    assert "Classification on toy (3), toy" in text
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert len(sources) == 5  # curves, images, the original and two decoded pictures
    assert all(source.startswith("data:image/") for source in sources)
    assert "my JPEG 21: " not in text and "my JPEG 51: " in text  # the middle point's picture
    names = {file.name for file in page.parent.iterdir()}
    assert {"classification-curves.png", "classification-images.svg", "classification-bd.tex"} <= names


def test_the_markdown_page_holds_no_photo_and_is_the_same_again(evaluated: Path, tmp_path: Path) -> None:
    pages = [write_report(read_results([evaluated]), tmp_path / name).with_suffix(".md") for name in "ab"]
    text = pages[0].read_text()
    plots = re.findall(r"!\[.*\]\((.*)\)", text)
    assert plots == ["classification-curves.svg", "classification-images.svg"]
    for name in ("index.md", *plots):
        assert (pages[0].parent / name).read_bytes() == (pages[1].parent / name).read_bytes()
    assert (pages[0].parent / "classification-points.md").read_text() in text
    assert "# icm-jax" in text.split("```")[1]  # the command, then versions


def test_tables_in_three_forms_say_the_same(evaluated: Path, tmp_path: Path) -> None:
    write_report(read_results([evaluated]), tmp_path)
    with (tmp_path / "classification-points.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head[:3] == ["curve", "quality", "bpp"] and [row[0] for row in rows][-1] == "uncompressed"
    markdown = (tmp_path / "classification-points.md").read_text()
    latex = (tmp_path / "classification-points.tex").read_text()
    assert all(row[2] in markdown and row[2] in latex for row in rows)
    assert len(rows) == 9 and latex.count(r"\\") == 10 and r"top-1 (\%)" in latex


def test_deltas_against_the_anchor_by_every_metric(evaluated: Path, tmp_path: Path) -> None:
    results = read_results([evaluated])
    write_report(results, tmp_path, anchor="my JPEG")
    with (tmp_path / "classification-bd.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    assert {row[0] for row in rows} == {"jpeg"}
    assert {row[1] for row in rows} == {metric.name for metric in results[0].metrics}
    psnr = next(row for row in rows if row[1:3] == ["psnr", "pchip"])
    assert abs(float(psnr[3])) < 5  # nearly the same codec
    with pytest.raises(IcmError, match="no curve 'vvc' of classification to measure by; choose one of jpeg"):
        write_report(results, tmp_path, anchor="vvc")


def test_images_behind_a_point(evaluated: Path) -> None:
    result = read_results([evaluated / "jpeg.json"])[0]
    images = image_points(result, middle(result))
    assert [image.image for image in images] == result.dataset["images"]
    assert sum(image.bpp for image in images) / 3 == pytest.approx(middle(result).bpp)
    assert graded_metric([result], [images]).name == "cross_entropy"  # top-1 is a hit or a miss


def test_a_curve_that_is_there_twice_is_refused(evaluated: Path, tmp_path: Path) -> None:
    with pytest.raises(IcmError, match=r"jpeg\.json: a second curve 'jpeg'"):
        write_report(read_results([evaluated / "jpeg.json"] * 2), tmp_path)


def test_command(evaluated: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "page"
    assert main(["report", str(evaluated), "-o", str(out), "--layout", "transtic-table1"]) == 0
    assert "index.html" in capsys.readouterr().out
    assert (
        "-58.77" in (out / "transtic-table1.md").read_text() and "-58.77" in (out / "index.html").read_text()
    )
    assert main(["report", str(evaluated), "-o", str(out), "--layout", "table9"]) == 2
    assert "layout 'table9' is unknown; choose one of transtic-table1" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "page"), "-o", str(out)]) == 2
    assert "no result; give files" in capsys.readouterr().err


@pytest.mark.parametrize("name", LAYOUTS)
def test_printed_tables_are_whole(name: str) -> None:
    layout = get_layout(name)
    assert all(len(pairs) == len(layout.columns) for pairs in layout.rows.values())
    empty = fill(layout, [])
    assert len(empty.rows) == len(layout.rows)
    assert len(empty.head) == 2 + 2 * len(layout.columns) + bool(layout.single)
    for row, pairs in zip(empty.rows, layout.rows.values(), strict=True):
        printed = [value for pair in pairs for value in pair]
        assert row[2 : 2 + len(printed)] == tuple(
            "n/a" if math.isnan(value) else f"{value:+.2f}" for value in printed
        )


RATES = (0.1, 0.2, 0.4, 0.8)
HALVED = tuple(rate / 2 for rate in RATES)


def test_measured_rows_stand_behind_the_printed_ones() -> None:
    scores = {"top1": (40.0, 50.0, 57.0, 61.0)}
    results = [
        made_result("tic", RATES, scores, (TOP1,), task="classification"),
        made_result("transtic", HALVED, scores, (TOP1,), task="classification"),
        made_result("mine", RATES, scores, (TOP1,), task="classification"),
    ]
    rows = {row[:2]: row[2:] for row in fill(get_layout("transtic-table1"), results).rows}
    assert rows["transtic", "measured"][:4] == ("-50.00", "+7.00", "n/a", "n/a")
    assert list(rows)[-1] == ("mine", "measured") and rows["mine", "measured"][0] == "+0.00"


def test_a_paper_that_prints_errors_gets_errors() -> None:
    scores, better = {"rmse": (0.9, 0.7, 0.6, 0.55)}, {"rmse": (0.8, 0.6, 0.5, 0.45)}
    for layout, anchor, sign in (("dora-table3", "VVC + Full FT Baseline", "-"), ("aio-table3", "TIC", "+")):
        results = [
            made_result(anchor, RATES, scores, (RMSE,), task="depth"),
            made_result("mine", RATES, better, (RMSE,), task="depth"),
        ]
        column = [c.task for c in get_layout(layout).columns].index("depth")
        row = fill(get_layout(layout), results).rows[-1]
        assert row[0] == "mine" and row[2 + 2 * column + 1] == f"{sign}0.10"


def test_gains_over_single_task_models() -> None:
    for layout, gain in (("aio-table2", "+0.25"), ("aio-table3", "+0.28")):
        rows = {row[:2]: row[-1] for row in fill(get_layout(layout), []).rows}
        assert rows["All-in-One", "printed"] == gain and rows["AdaptICMH", "printed"] == "+0.00"
    tasks = {"semseg-nyud": "miou", "depth": "rmse", "normals": "mean"}
    scores = {
        "TIC": (40.0, 50.0, 57.0, 61.0),
        "AdaptICMH": (42.0, 52.0, 59.0, 63.0),
        "mine": (43.0, 53.0, 60.0, 64.0),
    }
    results = [
        made_result(curve, RATES, {name: values}, (Metric(name, name),), task=task)
        for task, name in tasks.items()
        for curve, values in scores.items()
    ]
    rows = {row[:2]: row[-1] for row in fill(get_layout("aio-table3"), results).rows}
    assert rows["mine", "measured"] == "+0.50"
    rows = {row[:2]: row[-1] for row in fill(get_layout("aio-table3"), results[:-1]).rows}
    assert rows["mine", "measured"] == "n/a"


def test_latex_escapes() -> None:
    text = joined(["a_b", "x %"], [["R&D", "-1.5"], ["∞", "n/a"]], "T").latex()
    assert r"a\_b & x \% \\" in text and r"R\&D & $-1.5$ \\" in text and r"$\infty$ & n/a" in text
