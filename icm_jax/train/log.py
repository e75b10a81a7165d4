"""What a run says about itself: TensorBoard, one JSON line a report, and a progress line.

WORKDIR/tensorboard/       scalars, pictures, histograms
WORKDIR/metrics.jsonl      {"step": …, "time": …, "train": {…}, "speed": {…}} or {…, "validation": {…}}
stderr                     one line, renewed in place on a terminal, appended in a log file
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from tensorboardX import SummaryWriter

from icm_jax.train.distributed import is_main
from icm_jax.train.objective import Pictures
from icm_jax.train.speed import Speed


class RunLog:
    """Log of one run; on all processes but the main one it does nothing.

    Args:
        workdir: folder of the run.
        total_steps: length of the run.
        speed: measures steps, images and arithmetic a second.
    """

    def __init__(self, workdir: Path, total_steps: int, speed: Speed) -> None:
        self._total, self._speed = total_steps, speed
        self._active = is_main()
        self._terminal = sys.stderr.isatty()
        if self._active:
            workdir.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(workdir / "tensorboard"))
            self._lines = (workdir / "metrics.jsonl").open("a", encoding="utf-8")

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        if self._active:
            print(text, flush=True)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars of a training step, with the speed since the last report."""
        speed = self._speed.lap(step)
        self._record(step, train=values, speed=speed)
        left = _clock((self._total - step) / speed["steps_per_second"]) if speed else "?"
        fast = "".join(f"  {speed[name]:.3g} {unit}" for name, unit in Speed.SHOWN if name in speed)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._line(f"step {step}/{self._total}  {shown}{fast}  {left} left")

    def validation(self, step: int, values: Mapping[str, float], pictures: Pictures | None) -> None:
        """Numbers of the held-out set, and what there is to see."""
        self._record(step, validation=values)
        if self._active and pictures is not None:
            for name, image in pictures.images.items():
                self._writer.add_image(name, (255.0 * image).astype(np.uint8), step, dataformats="HWC")
            for name, histogram in pictures.histograms.items():
                self._writer.add_histogram(name, histogram, step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._line(f"step {step}/{self._total}  validation  {shown}", keep=True)

    def close(self) -> None:
        """Flushes what is buffered."""
        if self._active:
            if self._terminal:
                print(file=sys.stderr)
            self._writer.close()
            self._lines.close()

    def _record(self, step: int, **kinds: Mapping[str, float]) -> None:
        if not self._active:
            return
        line: dict[str, object] = {"step": step, "time": time.time()}
        for kind, values in kinds.items():
            for name, value in values.items():
                self._writer.add_scalar(f"{kind}/{name}", value, step)
            line[kind] = {name: value if np.isfinite(value) else None for name, value in values.items()}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()

    def _line(self, text: str, keep: bool = False) -> None:
        if self._active:
            ends = "\n" if keep or not self._terminal else ""
            print(f"\r\x1b[2K{text}" if self._terminal else text, end=ends, file=sys.stderr, flush=True)


def scalars(metrics: Mapping[str, jax.Array]) -> dict[str, float]:
    """Metrics of a step as numbers for a log."""
    return {name: float(value) for name, value in metrics.items() if name != "finite"}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
