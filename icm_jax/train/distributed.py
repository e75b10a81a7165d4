"""Joining the processes of a job: plain variables, SLURM or a Kubernetes Job; one code path for one process or many.

ICM_COORDINATOR=host:port  ICM_NUM_PROCESSES=4  ICM_PROCESS_ID=2      plain, wins over all
ICM_COORDINATOR=host:port  SLURM_NTASKS, SLURM_PROCID                 srun
ICM_COORDINATOR=host:port  ICM_NUM_PROCESSES, JOB_COMPLETION_INDEX    Kubernetes Indexed Job or JobSet
nothing of these                                                      one process
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import orbax.checkpoint as ocp

from icm_jax.errors import IcmError

HEARTBEAT_VARIABLE = (
    "ICM_HEARTBEAT_SECONDS"  # a process silent for so long is taken for dead, and the job ends
)
HEARTBEAT_SECONDS = 30
JOIN_SECONDS = 300
MEET_SECONDS = 3600  # one that died is noticed by its heartbeat, long before
LOST_SIGNS = (
    "Gloo",
    "NCCL",
    "Connection closed",
    "Connection reset",
    "Socket closed",
    "heartbeat",
    "barrier",
)


@dataclass(frozen=True)
class Job:
    """This process's place in a job of `count` processes."""

    coordinator: str
    count: int
    index: int


def find_job(environment: Mapping[str, str]) -> Job | None:
    """The job that environment variables describe; None for a single process.

    Raises:
        IcmError: variables that are missing or contradict each other.
    """
    coordinator = environment.get("ICM_COORDINATOR", "")
    count = _first(environment, "ICM_NUM_PROCESSES", "SLURM_NTASKS")
    index = _first(environment, "ICM_PROCESS_ID", "SLURM_PROCID", "JOB_COMPLETION_INDEX")
    if not coordinator:
        if environment.get("ICM_NUM_PROCESSES", "1") != "1":
            raise IcmError(
                "ICM_NUM_PROCESSES is set but ICM_COORDINATOR is not; set it to HOST:PORT of process 0"
            )
        return None
    if count is None or index is None:
        raise IcmError(
            f"ICM_COORDINATOR={coordinator} needs ICM_NUM_PROCESSES and ICM_PROCESS_ID beside it (SLURM_NTASKS, "
            "SLURM_PROCID and JOB_COMPLETION_INDEX are taken too)"
        )
    if ":" not in coordinator:
        raise IcmError(f"ICM_COORDINATOR={coordinator!r} has no port; write HOST:PORT")
    if not 0 <= index < count:
        raise IcmError(f"process {index} of {count} is impossible; ids go from 0 to {count - 1}")
    return Job(coordinator, count, index) if count > 1 else None


def _first(environment: Mapping[str, str], *names: str) -> int | None:
    name = next((name for name in names if environment.get(name)), None)
    if name is None:
        return None
    try:
        return int(environment[name])
    except ValueError:
        raise IcmError(f"{name}={environment[name]!r} must be a whole number") from None


def join() -> None:
    """Connects this process to its job, if it has one; call it before anything asks JAX for devices.

    When a process dies, the others end within ICM_HEARTBEAT_SECONDS (30) and a little more, with JAX's message that
    names the silent one; none hangs.

    Raises:
        IcmError: an impossible environment, or a coordinator that does not answer within `JOIN_SECONDS`.
    """
    job = find_job(os.environ)
    if job is None:
        return
    try:
        jax.distributed.initialize(
            job.coordinator,
            job.count,
            job.index,
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=_first(os.environ, HEARTBEAT_VARIABLE) or HEARTBEAT_SECONDS,
        )
    except RuntimeError as error:
        raise IcmError(
            f"process {job.index} of {job.count} could not join the job at {job.coordinator} within "
            f"{JOIN_SECONDS} s ({str(error).splitlines()[0]}); are all processes running, and is the port free?"
        ) from None


def meet(where: str) -> None:
    """Returns when all processes of the job are here; at once in a job of one.

    To be called where the next thing is the first exchange after a compilation: each process compiles at its own pace,
    and gloo gives up a connection that the other side does not answer within half a minute.

    Args:
        where: a name of the place, the same in all processes.
    """
    ocp.multihost.get_barrier_sync_fn()(key=where, timeout_ms=MEET_SECONDS * 1000)


def lost_peer(error: Exception) -> str | None:
    """One line for what a step or a checkpoint raises when another process went away; None for other errors.

    Where the network says so at once (gloo) or a barrier breaks; elsewhere JAX itself ends the process, and says that
    another task died.
    """
    text = f"{error}\n{error.__cause__ or ''}"
    if jax.process_count() == 1 or not any(sign in text for sign in LOST_SIGNS):
        return None
    return (
        f"process {jax.process_index()} of {jax.process_count()}: another process died or can not be reached "
        f"({text.splitlines()[0][:200]}); its own output says why. Run the same command again to continue"
    )


def is_main() -> bool:
    """Whether this process prints, logs and writes what is written once."""
    return jax.process_index() == 0
