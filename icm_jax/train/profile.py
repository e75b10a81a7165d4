"""A profiler trace of a few steps, for TensorBoard's profile page or xprof."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import jax


class Trace:
    """Context that records the steps of `log.profile`; one that was begun is written, however the run ends.

    Args:
        steps: number of the first step and of the one after the last, counted from 0; () records nothing.
        folder: where the trace goes.
    """

    def __init__(self, steps: tuple[int, ...], folder: Path) -> None:
        self._steps = range(*steps) if steps else range(0)
        self._folder, self._running = folder, False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Around the call of a step."""
        if number in self._steps:
            if not self._running:  # a resumed run may come in the middle
                jax.profiler.start_trace(str(self._folder))
                self._running = True
            with jax.profiler.StepTraceAnnotation("train", step_num=number):
                yield
        else:
            self._stop()
            yield

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
