"""A scheduler's SIGTERM: finish the step, save, say so, and leave with an exit code that means "run me again"."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

import jax
from jax.experimental import multihost_utils

EXIT_CODE_VARIABLE = "ICM_RESUME_EXIT_CODE"  # what schedulers that requeue by exit code set; 0 otherwise


class Preempted(Exception):
    """The run was asked to stop and its state is saved."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"stopped by SIGTERM at step {step}, state saved: run the same command again to continue"
        )
        self.exit_code = int(os.environ.get(EXIT_CODE_VARIABLE, "0"))


class PreemptionWatch:
    """Context that notices SIGTERM; all processes of a job learn of it at the same step."""

    def __enter__(self) -> Self:
        self._asked = False
        self._one_process = jax.process_count() == 1
        if self._one_process:  # else JAX's own handler notices, and tells the other processes
            self._previous = signal.signal(signal.SIGTERM, self._notice)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._one_process:
            signal.signal(signal.SIGTERM, self._previous)

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def reached(self, step: int) -> bool:
        """Whether to save and stop after `step`."""
        return self._asked if self._one_process else multihost_utils.reached_preemption_sync_point(step)
