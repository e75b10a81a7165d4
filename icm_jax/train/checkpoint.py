"""Saving and restoring a run: Orbax behind one module.

WORKDIR/checkpoints/STEP/{state, data}     training state; position of the data iterator
"""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from icm_jax.errors import IcmError
from icm_jax.train.config import CheckpointConfig
from icm_jax.train.state import TrainState


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, workdir: Path, config: CheckpointConfig) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=config.keep, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager((workdir / "checkpoints").absolute(), options=options)

    def latest(self) -> int | None:
        """Newest saved step, None before the first."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState, data_state: dict[str, Any]) -> None:
        """Saves a step; a step that is already there is left alone."""
        if step == self.latest():
            return
        items = {"state": ocp.args.StandardSave(state), "data": ocp.args.JsonSave(data_state)}
        self._manager.save(step, args=ocp.args.Composite(**items))
        self._manager.wait_until_finished()

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The newest state, with the shapes and shardings of `like`, and the data iterator's position."""
        target = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like
        )
        items = {"state": ocp.args.StandardRestore(target), "data": ocp.args.JsonRestore()}
        restored = self._manager.restore(self.latest(), args=ocp.args.Composite(**items))
        return restored["state"], restored["data"]

    def close(self) -> None:
        """Ends background work."""
        self._manager.close()


def averaged_params(workdir: Path) -> Any:
    """Averaged parameters of a run's newest checkpoint, whatever its model.

    Raises:
        IcmError: a folder without a checkpoint.
    """
    folder = (workdir / "checkpoints").absolute()
    steps = sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())
    if not steps:
        raise IcmError(f"{workdir} holds no checkpoint; name the workdir of a training run or a codec folder")
    with ocp.StandardCheckpointer() as reader:
        state = reader.restore(folder / str(steps[-1]) / "state")
    return state["average"]
