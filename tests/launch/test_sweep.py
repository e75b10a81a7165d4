"""Sweeps: grids, job lists, finished runs, what is handed to a scheduler."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from icm_jax.errors import IcmError
from launch import sweep

ROOT = Path(__file__).parents[2]
BASE = ["--config=configs/base_tic.py", "--grid", "rate.lmbda=(0.0018,),(0.0035,)", "--grid", "seed=1,2"]


def test_grid_of_tuples_and_words() -> None:
    assert sweep.parse_grid(["rate.lmbda=(0.1,2),(3,)", "optim.optimizer=adam,muon"]) == {
        "rate.lmbda": ["(0.1,2)", "(3,)"],
        "optim.optimizer": ["adam", "muon"],
    }
    for text in ("seed", "seed=", "seed=1,,2"):
        with pytest.raises(IcmError, match="must be KEY=VALUE"):
            sweep.parse_grid([text])
    with pytest.raises(IcmError, match="names seed twice"):
        sweep.parse_grid(["seed=1", "seed=2"])


def test_dry_run_lists_what_is_not_finished(tmp_path, capsys) -> None:
    arguments = [*BASE, f"--root={tmp_path}", "--dry-run", "--", "--config.data.folder=MY PHOTOS"]
    assert sweep.main(arguments) == 0
    assert "4 runs, 0 finished, 4 to do" in capsys.readouterr().out
    jobs = [shlex.split(line) for line in (tmp_path / "jobs.txt").read_text().splitlines()]
    assert jobs[1] == [
        "--config=configs/base_tic.py",
        "--config.rate.lmbda=(0.0018,)",
        "--config.seed=2",
        "--config.data.folder=MY PHOTOS",
        f"--workdir={tmp_path}/lmbda-0.0018_seed-2",
    ]
    done = tmp_path / "lmbda-0.0018_seed-2"
    done.mkdir()
    (done / "finished").write_text("1\n")
    assert sweep.main(arguments) == 0
    assert "1 finished, 3 to do" in capsys.readouterr().out
    assert "seed-2" not in (tmp_path / "jobs.txt").read_text().splitlines()[0]


def test_collect_prints_a_table(tmp_path, capsys) -> None:
    run = tmp_path / "a"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"optim": {"total_steps": 3}}))
    assert sweep.main([f"--root={tmp_path}", "--collect"]) == 0
    assert "0/3" in capsys.readouterr().out
    assert sweep.main([f"--root={tmp_path / 'none'}", "--collect"]) == 2
    assert "holds no run" in capsys.readouterr().err


def stub(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{body}\n")
    path.chmod(0o755)


def batch(tmp_path: Path, arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the batch script the way SLURM does: in an environment of its variables, srun and scontrol in the path."""
    stub(
        tmp_path,
        "srun",
        'echo "srun $*"; echo "coordinator=$ICM_COORDINATOR resume=$ICM_RESUME_EXIT_CODE"; exit ${CODE:-0}',
    )
    stub(
        tmp_path,
        "scontrol",
        'if [[ $1 == show ]]; then printf "node07\\nnode08\\n"; else echo "scontrol $*"; fi',
    )
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **variables}
    script = ["bash", "launch/slurm.sbatch", *arguments]
    return subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_batch_script_joins_nodes_and_picks_its_line(tmp_path) -> None:
    (tmp_path / "jobs.txt").write_text(
        "--config=a --workdir=1\n'--config.data.folder=MY PHOTOS' --workdir=2\n"
    )
    many = batch(
        tmp_path, ["--config=c"], SLURM_NTASKS="2", SLURM_JOB_ID="41", SLURM_JOB_NODELIST="node[07-08]"
    )
    assert "icm_jax.main --config=c" in many.stdout and "coordinator=node07:20041 resume=75" in many.stdout
    task = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "9", "SLURM_JOB_ID": "11"}
    line = batch(tmp_path, [str(tmp_path / "jobs.txt")], **task)
    assert "icm_jax.main --config.data.folder=MY PHOTOS --workdir=2" in line.stdout
    task["SLURM_ARRAY_TASK_ID"] = "7"
    over = batch(tmp_path, [str(tmp_path / "jobs.txt")], **task)
    assert over.returncode == 2 and "has no line 8" in over.stderr


def test_batch_script_requeues_a_preempted_run_and_reports_a_failed_one(tmp_path) -> None:
    stopped = batch(tmp_path, ["--config=c"], SLURM_JOB_ID="41", CODE="75")
    assert stopped.returncode == 0 and "scontrol requeue 41" in stopped.stdout
    failed = batch(tmp_path, ["--config=c"], SLURM_JOB_ID="41", CODE="2")
    assert failed.returncode == 2 and "requeue" not in failed.stdout


def test_local_script_ends_all_processes_when_one_fails(tmp_path) -> None:
    stub(tmp_path, "python", "if [[ $ICM_PROCESS_ID == 1 ]]; then exit 3; fi; exec sleep 60")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    script = ["launch/local.sh", "3", "--config=c"]
    done = subprocess.run(
        script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 3
    usage = subprocess.run(["launch/local.sh"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert usage.returncode == 2 and "launch/local.sh 2" in usage.stderr
