"""Runs read back: table, plot, torn lines."""

import json

import pytest

from icm_jax.cli import main
from icm_jax.errors import IcmError
from icm_jax.train.runs import read_run, table


@pytest.fixture
def workdir(tmp_path):
    folder = tmp_path / "sweep" / "a"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"optim": {"total_steps": 30}}))
    lines = [
        {"step": 10, "time": 1.0, "train": {"loss": 3.0}, "speed": {"steps_per_second": 2.5}},
        {"step": 20, "time": 2.0, "train": {"loss": None}},
        {"step": 20, "time": 2.5, "validation": {"psnr": 31.5}},
        {"step": 10, "time": 3.0, "train": {"loss": 2.0}},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"step": 30, "tr'
    (folder / "metrics.jsonl").write_text(text)
    return folder


def test_last_numbers_of_each_kind_survive_a_torn_line(workdir) -> None:
    run = read_run(workdir)
    assert (run.step, run.total_steps, run.state) == (20, 30, "not finished")
    assert run.train == {"loss": 2.0} and run.validation == {"psnr": 31.5}
    (workdir / "finished").write_text("30\n")
    assert read_run(workdir).state == "finished"


def test_command_prints_and_plots(workdir, tmp_path, capsys) -> None:
    assert main(["runs", str(workdir), "--plot", str(tmp_path / "runs.png")]) == 0
    printed = capsys.readouterr().out
    assert "sweep/a" in printed and "20/30" in printed and "psnr 31.5" in printed
    assert (tmp_path / "runs.png").stat().st_size > 1000
    assert main(["runs", str(workdir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["step"] == 20
    assert main(["runs", str(workdir), "--plot", str(tmp_path / "x.png"), "--curve", "train/lss"]) == 2
    assert "logged are train/loss, validation/psnr" in capsys.readouterr().err


def test_folder_without_a_run_is_refused(tmp_path) -> None:
    with pytest.raises(IcmError, match="holds no run"):
        read_run(tmp_path)


def test_table_has_a_row_a_run(workdir) -> None:
    assert len(table([read_run(workdir)] * 3).splitlines()) == 5
