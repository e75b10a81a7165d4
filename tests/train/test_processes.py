"""Runs in processes of their own: many devices, many processes, killed, preempted, out of disk."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "tests/train/toy.py", "--config=tests/train/toy_config.py"]


def start(
    workdir: Path, *options: str, devices: int = 1, command: list[str] = COMMAND, **variables: str
) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ICM_", "SLURM_"))}
    environment = clean | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}",
        **variables,
    }
    return subprocess.Popen(
        [*command, f"--workdir={workdir}", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = 240) -> str:
    output, _ = process.communicate(timeout=seconds)
    return output


def run(workdir: Path, *options: str, **how: Any) -> str:
    process = start(workdir, *options, **how)
    output = finish(process, 600)
    assert process.returncode == 0, output
    return output


def start_job(workdir: Path, count: int, *options: str, **how: Any) -> list[subprocess.Popen[str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    job = {"ICM_COORDINATOR": f"127.0.0.1:{port}", "ICM_NUM_PROCESSES": str(count)}
    return [start(workdir, *options, **job, ICM_PROCESS_ID=str(i), **how) for i in range(count)]


def losses(workdir: Path) -> list[float]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["train"]["loss"] for line in lines if "train" in line]


def state_bytes(output: str) -> int:
    line = next(line for line in output.splitlines() if "bytes a device" in line)
    return int(line.split(", ")[-1].split()[0].replace(",", ""))


def weights(workdir: Path) -> dict[str, np.ndarray]:
    with np.load(workdir / "codecs" / "params.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("single")
    run(workdir)
    return workdir


def wait_for(path: Path, process: subprocess.Popen[str], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)


def test_eight_devices_give_the_loss_curve_of_one_and_an_eighth_of_the_state(single, tmp_path) -> None:
    output = run(tmp_path, "--config.mesh={'fsdp': 8, 'min_size': 1}", devices=8)
    np.testing.assert_allclose(losses(tmp_path), losses(single), rtol=1e-5)
    for name, value in weights(single).items():
        np.testing.assert_allclose(weights(tmp_path)[name], value, rtol=1e-4, atol=1e-6)
    whole = run(tmp_path / "whole", "--config.optim.total_steps=1")
    size = [state_bytes(text) for text in (whole, output)]
    assert size[1] < size[0] / 8 + 200  # counters and the one bias of four are whole everywhere


@pytest.mark.parametrize("count", [2, 4])
def test_processes_compute_what_one_does(count, single, tmp_path) -> None:
    job = start_job(tmp_path, count)
    outputs = [finish(process) for process in job]
    assert [process.returncode for process in job] == [0] * count, outputs
    np.testing.assert_allclose(losses(tmp_path), losses(single), rtol=1e-5)
    for name, value in weights(single).items():
        np.testing.assert_allclose(weights(tmp_path)[name], value, rtol=1e-4, atol=1e-6)


def test_run_moves_from_two_processes_to_one(single, tmp_path) -> None:
    job = start_job(tmp_path, 2, "--config.optim.total_steps=10")
    assert [(finish(process), process.returncode)[1] for process in job] == [0, 0]
    assert "continuing from step 10" in run(tmp_path)
    np.testing.assert_allclose(losses(tmp_path), losses(single), rtol=1e-5)


def test_killed_run_ends_with_the_same_weights(single, tmp_path) -> None:
    process = start(tmp_path, "--config.toy.seconds=0.2")
    wait_for(tmp_path / "checkpoints" / "5", process)
    time.sleep(float(np.random.default_rng().uniform(0, 1.5)))  # at any step, or while it saves
    process.kill()
    finish(process)
    assert not (tmp_path / "finished").exists()
    assert "continuing from step" in run(tmp_path, "--config.toy.seconds=0.2")
    for name, value in weights(single).items():
        np.testing.assert_array_equal(weights(tmp_path)[name], value)


def test_sigterm_saves_and_says_run_me_again(single, tmp_path) -> None:
    process = start(tmp_path, "--config.toy.seconds=0.2", ICM_RESUME_EXIT_CODE="75")
    wait_for(tmp_path / "checkpoints" / "5", process)
    process.send_signal(signal.SIGTERM)
    output = finish(process)
    assert process.returncode == 75 and "run the same command again" in output
    run(tmp_path, "--config.toy.seconds=0.2")
    for name, value in weights(single).items():
        np.testing.assert_array_equal(weights(tmp_path)[name], value)


def test_sigterm_to_one_process_stops_the_job_at_one_step(tmp_path) -> None:
    endless = ("--config.toy.seconds=0.2", "--config.optim.total_steps=1000")
    job = start_job(tmp_path, 2, *endless, ICM_RESUME_EXIT_CODE="75")
    wait_for(tmp_path / "checkpoints" / "5", job[0])
    job[1].send_signal(signal.SIGTERM)
    outputs = [finish(process) for process in job]
    assert [process.returncode for process in job] == [75, 75], outputs
    steps = {re.search(r"stopped by SIGTERM at step (\d+), state saved", output)[1] for output in outputs}
    assert len(steps) == 1 and (tmp_path / "checkpoints" / steps.pop()).is_dir()


def test_dead_worker_ends_the_job(tmp_path) -> None:
    job = start_job(
        tmp_path,
        2,
        "--config.toy.seconds=0.2",
        "--config.optim.total_steps=1000",
        ICM_HEARTBEAT_SECONDS="10",
    )
    wait_for(tmp_path / "checkpoints" / "5", job[0])
    job[1].kill()
    begin = time.monotonic()
    output = finish(job[0], 120)
    assert job[0].returncode != 0 and time.monotonic() - begin < 60
    assert re.search("another (process|task) died", output), output
    finish(job[1])


@pytest.mark.slow
def test_smoke_config_on_one_device_eight_and_two_processes(tmp_path) -> None:
    smoke = [sys.executable, "-m", "icm_jax.main", "--config=configs/base_tic.py:smoke"]
    run(tmp_path / "one", command=smoke)
    run(tmp_path / "eight", "--config.mesh.fsdp=4", devices=8, command=smoke)
    outputs = [finish(process, 600) for process in start_job(tmp_path / "two", 2, command=smoke)]
    assert "2 process(es)" in outputs[0], outputs
    for other in ("eight", "two"):
        np.testing.assert_allclose(losses(tmp_path / other), losses(tmp_path / "one"), rtol=1e-3)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_disk_keeps_the_last_good_checkpoint(tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not allow to mount a tmpfs")
    try:
        options = (
            "--config.checkpoint.every_steps=2",
            "--config.checkpoint.keep=50",
            "--config.toy.width=512",
        )
        process = start(disk / "run", *options)
        output = finish(process)
        assert process.returncode == 1 and "Free space there" in output, output
        steps = [int(path.name) for path in (disk / "run" / "checkpoints").iterdir() if path.name.isdigit()]
        assert f"step {max(steps)} is complete and kept" in output
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert f"continuing from step {max(steps)}" in run(disk / "run", *options)
    finally:
        subprocess.run(["umount", str(disk)], check=False)
