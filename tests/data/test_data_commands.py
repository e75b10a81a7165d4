"""icm data: from an archive to a page, and one line for what goes wrong."""

import json

import pytest

from icm_jax import cli
from tests.data import dummy_archives


def run(*arguments) -> int:
    return cli.main(["data", *map(str, arguments)])


def test_from_an_archive_to_a_page(tmp_path, capsys) -> None:
    dummy_archives.pascal(tmp_path / "in")
    place = ("--data-dir", tmp_path / "out")
    assert run("build", "pascal_mt", "--manual-dir", tmp_path / "in", "--as-is", *place) == 0
    assert capsys.readouterr().out == f"{tmp_path}/out/pascal_mt/1.0.0: train 3, validation 2\n"
    assert run("check", "pascal_mt", *place) == 0
    assert "1.0.0: whole (built as is: not compared with the published set)" in capsys.readouterr().out
    assert run("show", "pascal_mt", "-o", tmp_path / "page.html", "--split", "validation", *place) == 0
    assert (tmp_path / "page.html").read_text().count("<section>") == 2
    capsys.readouterr()
    assert run("list", *place) == 0
    assert "pascal_mt                train 3, validation 2 (as is)" in capsys.readouterr().out


def test_json(tmp_path, capsys) -> None:
    dummy_archives.photos(tmp_path / "in")
    place = ("--data-dir", tmp_path / "out")
    assert run("build", "image_folder/mine", "--manual-dir", tmp_path / "in", *place) == 0
    capsys.readouterr()
    assert run("check", "image_folder", "--json", *place) == 0
    assert json.loads(capsys.readouterr().out)[0]["examples"] == 5
    assert run("list", "--json", *place) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["built"][0]["name"] == "image_folder/mine" and "nyud_mt" in listed["known"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["build", "nyud", "--manual-dir", "."], "data set 'nyud' is unknown"),
        (
            ["build", "nyud_mt", "--manual-dir", "nowhere"],
            "nowhere: no such folder, or empty; it has to hold NYUD_MT/",
        ),
        (["check", "nyud_mt", "--data-dir", "."], "nyud_mt is not built there"),
        (["show", "nyud_mt", "--data-dir", "."], "nyud_mt is not built there"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, line, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_without_tfds_the_extra_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run("list") == 2
    assert "pip install 'icm-jax[data]'" in capsys.readouterr().err


@pytest.mark.parametrize("action", [[], ["build"], ["check"], ["show"], ["list"]])
def test_help_shows_an_example(action, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*action, "--help")
    shown = capsys.readouterr().out
    assert caught.value.code == 0 and "example" in shown and f"icm data {' '.join(action)}" in shown
