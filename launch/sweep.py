"""One config over a grid of values: writes the job list, runs or submits it, collects the results.

    python -m launch.sweep --config=configs/base_tic.py --root=runs/base --grid rate.lmbda=(0.0018,),(0.0035,)
    python -m launch.sweep … --launcher=slurm            an array job, one task a run
    python -m launch.sweep … --dry-run                   what would run
    python -m launch.sweep --root=runs/base --collect    one table of what is there

Several --grid make their product. What stands after `--` goes to every run. Finished runs are left out, so the same
command after a crash runs what is missing.
"""

import argparse
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.train.runs import read_run, table

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Run:
    """One point of the grid."""

    workdir: Path
    arguments: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether an earlier start came to its end."""
        return (self.workdir / "finished").exists()


def split_values(text: str) -> list[str]:
    """Values of a grid, split at commas outside brackets and quotes.

    Example:
        >>> split_values("(0.0018,),(0.0035,)")
        ['(0.0018,)', '(0.0035,)']
        >>> split_values("adam,muon")
        ['adam', 'muon']
    """
    values, depth = [""], 0
    for char in text:
        depth += char in "([{"
        depth -= char in ")]}"
        if char == "," and depth == 0:
            values.append("")
        else:
            values[-1] += char
    return values


def parse_grid(texts: Sequence[str]) -> dict[str, list[str]]:
    """{key: values} of `key=value,value` texts.

    Raises:
        IcmError: a text without "=", an empty value, or a key twice.
    """
    grid: dict[str, list[str]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not all(split_values(values)):
            raise IcmError(
                f"--grid {text!r} must be KEY=VALUE,VALUE,… such as rate.lmbda=(0.0018,),(0.0035,)"
            )
        if key in grid:
            raise IcmError(f"--grid names {key} twice; put all its values behind one '='")
        grid[key] = split_values(values)
    return grid


def runs_of(config: str, root: Path, grid: dict[str, list[str]], extra: Sequence[str]) -> Iterator[Run]:
    """The runs of a grid; folders are named after their values."""
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        name = "_".join(f"{key.split('.')[-1]}-{_plain(value)}" for key, value in point.items()) or "run"
        overrides = [f"--config.{key}={value}" for key, value in point.items()]
        workdir = root / name
        yield Run(workdir, (f"--config={config}", *overrides, *extra, f"--workdir={workdir}"))


def _plain(value: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", value).strip("-") or "empty"


def launch_local(runs: Sequence[Run], processes: int) -> int:
    """One run after the other; returns how many failed. A failed run does not keep the others from starting."""
    failed = 0
    for run in runs:
        print(f"--- {run.workdir}", flush=True)
        failed += (
            subprocess.run([HERE / "local.sh", str(processes), *run.arguments], check=False).returncode != 0
        )
    return failed


def submit_slurm(jobs: Path, count: int, options: Sequence[str]) -> int:
    """Submits an array job over the lines of a job list.

    Raises:
        IcmError: there is no sbatch here.
    """
    command = ["sbatch", f"--array=0-{count - 1}", *options, str(HERE / "slurm.sbatch"), str(jobs)]
    try:
        return subprocess.run(command, check=False).returncode
    except FileNotFoundError:
        raise IcmError(
            "there is no sbatch on this machine; run this on a login node or take --launcher=local"
        ) from None


def collect(root: Path) -> str:
    """A table of all runs below `root`.

    Raises:
        IcmError: no run there.
    """
    folders = sorted(path.parent for path in root.glob("*/config.json"))
    if not folders:
        raise IcmError(f"{root} holds no run; give the --root of a sweep that was started")
    return table([read_run(folder) for folder in folders])


def parser() -> argparse.ArgumentParser:
    """Command line of a sweep."""
    made = argparse.ArgumentParser(
        prog="python -m launch.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--config", help="config file, optionally with :variant")
    made.add_argument(
        "--root", type=Path, required=True, help="folder of the sweep; every run gets one below it"
    )
    made.add_argument(
        "--grid", action="append", default=[], metavar="KEY=A,B", help="values of one config key"
    )
    made.add_argument("--launcher", choices=("local", "slurm"), default="local")
    made.add_argument("--processes", type=int, default=1, help="processes a run (local)")
    made.add_argument(
        "--sbatch", action="append", default=[], metavar="OPTION", help="option for sbatch, repeatable"
    )
    made.add_argument("--dry-run", action="store_true", help="write the job list and print it, start nothing")
    made.add_argument("--collect", action="store_true", help="print a table of the runs that are there")
    made.add_argument(
        "extra", nargs="*", help="after --: options for every run, such as --config.data.folder=PHOTOS"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.collect:
            print(collect(options.root))
            return 0
        if not options.config:
            raise IcmError("--config is missing; name the config file to sweep over")
        runs = list(runs_of(options.config, options.root, parse_grid(options.grid), options.extra))
        waiting = [run for run in runs if not run.finished]
        options.root.mkdir(parents=True, exist_ok=True)
        jobs = options.root / "jobs.txt"
        write_bytes(jobs, "".join(shlex.join(run.arguments) + "\n" for run in waiting).encode())
        print(f"{len(runs)} runs, {len(runs) - len(waiting)} finished, {len(waiting)} to do; list: {jobs}")
        if options.dry_run or not waiting:
            for run in waiting:
                print(f"python -m icm_jax.main {shlex.join(run.arguments)}")
            return 0
        if options.launcher == "slurm":
            return submit_slurm(jobs, len(waiting), options.sbatch)
        failed = launch_local(waiting, options.processes)
        print(collect(options.root))
        return 1 if failed else 0
    except IcmError as error:
        print(f"icm: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
