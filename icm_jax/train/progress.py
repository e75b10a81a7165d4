"""What a run says about itself: TensorBoard scalars, a line a log interval, and the time that is left."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter


class Progress:
    """Writes scalars to `workdir` and a progress line: renewed in place on a terminal, appended in a log file."""

    def __init__(self, workdir: Path, total_steps: int, batch_size: int) -> None:
        self._writer = SummaryWriter(str(workdir / "tensorboard"))
        self._total, self._batch_size = total_steps, batch_size
        self._last: tuple[int, float] | None = None
        self._terminal = sys.stderr.isatty()

    def start(self, step: int) -> None:
        """Marks where the clock starts (after compilation, or speeds would be wrong for a while)."""
        self._last = (step, time.monotonic())

    def report(self, step: int, scalars: Mapping[str, float]) -> None:
        """Logs the scalars of a step."""
        for name, value in scalars.items():
            self._writer.add_scalar(f"train/{name}", value, step)
        now = time.monotonic()
        speed = 0.0 if self._last is None else (step - self._last[0]) / max(now - self._last[1], 1e-9)
        self._last = (step, now)
        left = _clock((self._total - step) / speed) if speed else "?"
        values = "  ".join(f"{name} {value:.4g}" for name, value in scalars.items())
        line = f"step {step}/{self._total}  {values}  {speed * self._batch_size:.1f} images/s  {left} left"
        print(
            f"\r\x1b[2K{line}" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """Flushes what is buffered."""
        if self._terminal:
            print(file=sys.stderr)
        self._writer.close()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
