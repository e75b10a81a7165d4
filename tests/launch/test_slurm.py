"""The batch script in a real SLURM of one node on loopback: an array of two-process runs, a preempted run requeued."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or any(shutil.which(name, path=PATH) is None for name in DAEMONS),
        reason="needs root and SLURM (Debian: apt-get install slurm-wlm)",
    ),
]

CONFIG = """
ClusterName=loop
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmctldPort=17827
SlurmdPort=17828
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SwitchType=switch/none
MpiDefault=none
SchedulerParameters=batch_sched_delay=1,sched_interval=2
NodeName=localhost NodeHostname=localhost NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Environment to submit in; daemons run while the module's tests do."""
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, cpus=os.cpu_count()))
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    folder.chmod(0o755)
    # The toy task in place of the trainer: same command line, same engine, seconds instead of minutes.
    python = folder / "python"
    python.write_text(f'#!/usr/bin/env bash\nshift 2\nexec {sys.executable} {ROOT}/tests/train/toy.py "$@"\n')
    python.chmod(0o755)
    environment = {
        "PATH": PATH,
        "HOME": os.environ.get("HOME", "/root"),
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PYTHON": str(python),
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
    }
    munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.sock"]
    munged += [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
    processes = []
    for command in (munged, ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", "localhost"]):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(subprocess.Popen(command, env=environment, **quiet))
        time.sleep(1)
    try:
        until(
            lambda: (
                "idle" in subprocess.run(["sinfo"], env=environment, capture_output=True, text=True).stdout
            ),
            60,
        )
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False)
        subprocess.run(["scancel", "--user=root", "--signal=KILL"], env=environment, check=False)
        until(lambda: not queue(environment), 60)
        for process in reversed(processes):
            process.terminate()
            process.wait(30)


def queue(environment: dict[str, str]) -> str:
    return subprocess.run(["squeue", "--noheader"], env=environment, capture_output=True, text=True).stdout


def until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened for too long"
        time.sleep(0.5)


def submit(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    command = ["sbatch", "--parsable", f"--output={folder}/out-%A_%a.txt", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def printed(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob("out-*.txt")))


def test_array_of_two_process_runs(slurm, tmp_path) -> None:
    lines = [
        f"--config={ROOT}/tests/train/toy_config.py --config.seed={i} --workdir={tmp_path}/{i}"
        for i in (1, 2)
    ]
    (tmp_path / "jobs.txt").write_text("\n".join(lines) + "\n")
    options = ["--ntasks=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--array=0-1"]
    submit(slurm, tmp_path, *options, "launch/slurm.sbatch", f"{tmp_path}/jobs.txt")
    try:
        until(lambda: all((tmp_path / str(i) / "finished").exists() for i in (1, 2)), 240)
    finally:
        print(printed(tmp_path))
    assert printed(tmp_path).count("2 device(s), 2 process(es)") == 2


def test_preempted_run_is_requeued_and_continues(slurm, tmp_path) -> None:
    run = [
        f"--config={ROOT}/tests/train/toy_config.py",
        "--config.toy.seconds=0.5",
        f"--workdir={tmp_path}/run",
    ]
    job = submit(slurm, tmp_path, "--ntasks=1", "--cpus-per-task=1", "launch/slurm.sbatch", *run)
    try:
        until(lambda: (tmp_path / "run" / "checkpoints" / "5").exists(), 120)
        subprocess.run(["scancel", "--signal=TERM", job], env=slurm, check=True)
        until(lambda: "requeueing" in printed(tmp_path), 60)
        # SLURM holds a requeued job back for two minutes; an operator's release of the wait is what this stands for.
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], env=slurm, check=False)
        until(lambda: (tmp_path / "run" / "finished").exists(), 300)
    finally:
        print(printed(tmp_path))
    assert "continuing from step" in printed(tmp_path)
