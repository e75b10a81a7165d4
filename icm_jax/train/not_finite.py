"""A loss or gradient that is not finite: the step was not applied; a few in a row may pass, more stop the run."""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.train.log import scalars
from icm_jax.train.objective import Batch, Metrics


class NotFinite:
    """Looks at every step's metrics one step late, so that no device waits for the check.

    Args:
        workdir: where the dump goes.
        allowed: steps in a row that may be left out.
    """

    def __init__(self, workdir: Path, allowed: int) -> None:
        self._workdir, self._allowed = workdir, allowed
        self._pending: tuple[int, Metrics, Any] | None = None
        self.skipped = 0

    def check(self, step: int, metrics: Metrics, batch: Batch) -> None:
        """Checks the step before and remembers this one."""
        self.flush()
        self._pending = (step, metrics, batch["id"])

    def flush(self) -> None:
        """Checks what is remembered.

        Raises:
            IcmError: more than the allowed steps in a row were not finite; names a dump with the examples.
        """
        if self._pending is None:
            return
        (step, metrics, ids), self._pending = self._pending, None
        if bool(metrics["finite"]):
            return
        self.skipped += 1
        path = self._workdir / "not_finite.json"
        every_id = multihost_utils.process_allgather(
            ids, tiled=True
        )  # of all processes: each holds its rows alone
        examples = sorted(map(int, np.ravel(every_id)))
        dump = {"step": step, "examples": examples, "skipped": self.skipped}
        dump |= {name: repr(value) for name, value in scalars(metrics).items()}
        if jax.process_index() == 0:
            write_bytes(path, (json.dumps(dump, indent=2) + "\n").encode())
        in_a_row = int(metrics["rejected"])
        if in_a_row > self._allowed:
            raise IcmError(
                f"loss or gradient is not finite at step {step}, {in_a_row} in a row (see {path}); the last "
                "checkpoint is good: lower optim.learning_rate and continue"
            )
        print(f"step {step} left out: loss or gradient is not finite (see {path})", file=sys.stderr)
