"""`icm eval` from the command line: options, configs, and one line for every bad input."""

import json
from pathlib import Path

import pytest
from PIL import Image

from icm_jax.cli import main
from icm_jax.evaluate.evaluation import Plan
from icm_jax.evaluate.result import read_results


@pytest.fixture
def folder(tmp_path: Path, small_photos) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, image in enumerate(small_photos):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_two_codecs_give_two_results_and_a_table(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert run("eval", folder, "--codecs", "jpeg:20,60", "mine=webp:30", "--limit", 2, "-o", out) == 0
    printed = capsys.readouterr().out
    assert "Over 2 images." in printed and "MS-SSIM (dB)" in printed
    results = {result.curve: result for result in read_results([out])}
    assert list(results) == ["jpeg", "mine"] and results["mine"].codec == "webp"
    provenance = results["jpeg"].provenance
    assert provenance["config"]["codecs"] == ["jpeg:20,60", "mine=webp:30"]
    assert provenance["versions"]["pillow"] and provenance["hardware"]["devices"]
    assert results["jpeg"].dataset["name"] == "photos" and len(results["jpeg"].dataset["sha256"]) == 64


def test_the_command_line_goes_before_the_config(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text('def get_config():\n    return {"codecs": ["jpeg:20"], "limit": 1}\n')
    assert run("eval", folder, "--config", config, "-o", tmp_path / "a") == 0
    assert run("eval", folder, "--config", config, "--codecs", "webp:30", "-o", tmp_path / "b") == 0
    first, second = (read_results([tmp_path / name])[0] for name in "ab")
    assert (first.codec, second.codec) == ("jpeg", "webp")
    assert first.dataset["count"] == second.dataset["count"] == 1


def test_config_for_classification_is_a_plan() -> None:
    from configs.evaluate.classification import get_config

    assert Plan(images=("x",), **get_config()).task == "classification"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}", "--codecs", "bpg"], "'bpg' is neither a folder nor one that is included"),
        (["{folder}/missing.png"], "missing.png: can not be read"),
        (["{broken}"], "broken.png: not an image this program reads"),
        ([], "nothing to evaluate; give at least one image"),
        (["{folder}", "--labels", "x.csv"], "labels is given without a task"),
        (["{folder}", "--jobs", "0"], "jobs is 0, the least is 1"),
        (["{folder}", "--task", "pose"], "task 'pose' is unknown"),
        (["{folder}", "--task", "classification", "--weights", "{folder}"], "no weights at"),
        (["{folder}", "--config", "{folder}/none.py"], "no such config"),
        (["{folder}", "--config", "{typo}"], "eval has no field 'codec'; did you mean 'codecs'?"),
        (["{folder}", "--config", "{empty}"], "has no function get_config()"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, message, folder: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "typo.py").write_text('def get_config():\n    return {"codec": ["jpeg"]}\n')
    (tmp_path / "empty.py").write_text("")
    names = {name: tmp_path / f"{name}.py" for name in ("typo", "empty")}
    names |= {"folder": folder, "broken": tmp_path / "broken.png"}
    filled = [argument.format(**names) for argument in arguments]
    if "--codecs" not in filled and "--config" not in filled:
        filled += ["--codecs", "jpeg:20"]
    assert run("eval", *filled, "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error


def test_a_result_is_read_by_its_schema(folder: Path, tmp_path: Path, capsys) -> None:
    run("eval", folder, "--codecs", "jpeg:20,40,60,80", "--limit", 1, "-o", tmp_path / "out")
    file = tmp_path / "out" / "jpeg.json"
    content = json.loads(file.read_text())
    documented = (Path(__file__).parents[2] / "docs" / "results_schema.md").read_text()
    names = [*content, *content["points"][0], *content["dataset"], *content["provenance"]]
    assert [name for name in names if f"`{name}`" not in documented] == []
    records = [json.loads(line) for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()]
    assert [name for name in records[0] if f"`{name}`" not in documented] == []
    content["schema"] = 3
    file.write_text(json.dumps(content))
    capsys.readouterr()
    assert run("bd", file, file) == 2
    assert "jpeg.json: has schema 3, this version reads 2" in capsys.readouterr().err
