"""Saving and restoring a run: Orbax behind one module, with digests over everything it brings back.

WORKDIR/base/                       frozen parameters, saved once
WORKDIR/checkpoints/STEP/params     trained parameters and their average
                        /optimizer  optimiser state, running statistics, step, rejected steps
                        /rng        key of the run
                        /data       which batch comes next
                        /meta       digests of all arrays
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax import Array

from icm_jax.errors import IcmError
from icm_jax.train.config import CheckpointConfig
from icm_jax.train.digest import digests
from icm_jax.train.state import TrainState

DISK_SIGNS = (
    "No space left",
    "RESOURCE_EXHAUSTED",
    "Disk quota",
    "Read-only file system",
    "Input/output error",
)


class Checkpoints:
    """The checkpoints of one run. Saving returns at once; writing goes on beside the next steps.

    Args:
        workdir: folder of the run.
        config: how many are kept.
    """

    def __init__(self, workdir: Path, config: CheckpointConfig) -> None:
        self._workdir = workdir
        kept: list[Any] = [ocp.checkpoint_managers.LatestN(config.keep)]
        if config.best:
            best = ocp.checkpoint_managers.BestN(
                get_metric_fn=lambda metrics: metrics[config.best],
                reverse=config.best_mode == "min",
                n=1,
                keep_checkpoints_without_metrics=False,
            )
            kept.append(best)
        self._manager = ocp.CheckpointManager(
            (workdir / "checkpoints").absolute(),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(kept),
                cleanup_tmp_directories=True,
            ),
        )

    def latest(self) -> int | None:
        """Newest saved step, None before the first."""
        return self._manager.latest_step()

    def save(
        self, step: int, state: TrainState, key: Array, validation: dict[str, float] | None = None
    ) -> None:
        """Saves a step; one that is already there is left alone.

        Args:
            validation: numbers that the best checkpoint is chosen by.

        Raises:
            IcmError: this or the previous checkpoint could not be written; the ones before are untouched.
        """
        if step == self.latest():
            return
        items = _items(state, key)
        meta = {"digests": {name: digests(item) for name, item in items.items()}}
        args = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        args |= {"data": ocp.args.JsonSave({"next_batch": step}), "meta": ocp.args.JsonSave(meta)}
        try:
            self._manager.save(step, args=ocp.args.Composite(**args), metrics=validation)
        except Exception as error:
            self._raise_if_disk(step, error)
            raise

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
            IcmError: it could not be written.
        """
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            self._raise_if_disk(None, error)
            raise

    def restore(self, like: TrainState, key: Array) -> tuple[TrainState, Array, int] | None:
        """The newest undamaged state, placed like `like`, the run's key and its next batch; None when there is none.

        A damaged checkpoint is named on stderr, moved to WORKDIR/damaged, and the one before is taken.

        Raises:
            IcmError: checkpoints are there but every one is damaged.
        """
        damaged: list[int] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored = self._read(step, _items(like, key))
            except Exception as error:  # Orbax and TensorStore raise whatever the bytes lead them to
                if isinstance(error, MemoryError):
                    raise
                damaged.append(step)
                print(
                    f"checkpoint {step} is damaged ({_first_line(error)}); taking the one before",
                    file=sys.stderr,
                )
                continue
            self._set_aside(damaged)
            state = like.replace(**restored["params"], **restored["optimizer"])
            key = jax.random.wrap_key_data(restored["rng"]["key"], impl=jax.random.key_impl(key))
            return state, key, restored["data"]["next_batch"]
        if damaged:
            raise IcmError(
                f"{self._workdir}: all checkpoints are damaged ({', '.join(map(str, damaged))}); remove "
                f"{self._workdir / 'checkpoints'} to start again"
            )
        return None

    def close(self) -> None:
        """Waits for what is being written and ends background work."""
        self.wait()
        self._manager.close()

    def _read(self, step: int, like: dict[str, Any]) -> dict[str, Any]:
        args: dict[str, Any] = {name: ocp.args.StandardRestore(_target(item)) for name, item in like.items()}
        args |= {"data": ocp.args.JsonRestore(), "meta": ocp.args.JsonRestore()}
        restored = self._manager.restore(step, args=ocp.args.Composite(**args))
        for name in like:
            compare(digests(restored[name]), restored["meta"]["digests"][name])
        return {name: restored[name] for name in (*like, "data")}

    def _set_aside(self, steps: list[int]) -> None:
        """Out of the way of the run, which will come to these steps again; nothing is deleted."""
        for step in steps:
            if jax.process_index() == 0:
                (self._workdir / "damaged").mkdir(exist_ok=True)
                target = self._workdir / "damaged" / str(step)
                shutil.rmtree(target, ignore_errors=True)
                shutil.move(self._workdir / "checkpoints" / str(step), target)
        if steps:
            ocp.multihost.sync_global_processes("icm_set_aside")
            self._manager.reload()

    def _raise_if_disk(self, step: int | None, error: Exception) -> None:
        """Turns what a full or broken disk raises, in Orbax's many ways, into one line."""
        if not _is_disk(error):
            return
        what = "the last checkpoint" if step is None else f"the checkpoint of step {step}"
        complete = [s for s in self._manager.all_steps() if s != step]
        raise IcmError(
            f"{what} could not be written to {self._workdir} ({_first_line(error)}); {what_is_kept(complete)}. Free "
            "space there and run the same command again"
        ) from None


def save_base(workdir: Path, frozen: Any) -> None:
    """Writes the frozen parameters of a run, once.

    Raises:
        IcmError: they could not be written.
    """
    folder = (workdir / "base").absolute()
    if folder.exists() or not jax.tree.leaves(frozen):
        return
    meta = ocp.args.JsonSave({"digests": digests(frozen)})
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as writer:
            writer.save(folder, args=ocp.args.Composite(params=ocp.args.StandardSave(frozen), meta=meta))
    except Exception as error:
        if not _is_disk(error):
            raise
        raise IcmError(
            f"the frozen parameters could not be written to {folder} ({_first_line(error)}). Free space there and run "
            "the same command again"
        ) from None


def restore_base(workdir: Path, like: Any) -> Any | None:
    """The frozen parameters a run was started with, None when it has none yet.

    Raises:
        IcmError: they are damaged.
    """
    folder = (workdir / "base").absolute()
    if not folder.exists() or not jax.tree.leaves(like):
        return None
    try:
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader:
            args = ocp.args.Composite(
                params=ocp.args.StandardRestore(_target(like)), meta=ocp.args.JsonRestore()
            )
            restored = reader.restore(folder, args=args)
        compare(digests(restored["params"]), restored["meta"]["digests"])
    except Exception as error:
        raise IcmError(
            f"{folder} is damaged ({_first_line(error)}); remove it to read the base from init_from again"
        ) from None
    return restored["params"]


def saved_steps(workdir: Path) -> list[int]:
    """Steps of all checkpoints of a run, oldest first. One that is being written does not have its name yet."""
    return sorted(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*") if path.name.isdigit())


def what_is_kept(steps: Sequence[int]) -> str:
    """For a message: the newest of these steps."""
    return f"step {max(steps)} is complete and kept" if steps else "no earlier one exists"


def averaged_params(workdir: Path) -> Any:
    """Averaged trained parameters of a run's newest checkpoint, whatever its model.

    Raises:
        IcmError: a folder without a checkpoint.
    """
    steps = saved_steps(workdir)
    if not steps:
        raise IcmError(f"{workdir} holds no checkpoint; name the workdir of a training run or a codec folder")
    with ocp.StandardCheckpointer() as reader:
        return reader.restore((workdir / "checkpoints").absolute() / str(steps[-1]) / "params")["average"]


def compare(found: dict[str, tuple[int, int]], expected: dict[str, Any]) -> None:
    """Raises IcmError for the first array whose digest is not the expected one."""
    for path, words in expected.items():
        if list(found.get(path, ())) != list(words):
            raise IcmError(f"{path} differs from what was saved")


def _items(state: TrainState, key: Array) -> dict[str, Any]:
    return {
        "params": {"params": state.params, "average": state.average},
        "optimizer": {
            "opt_state": state.opt_state,
            "statistics": state.statistics,
            "step": state.step,
            "rejected": state.rejected,
        },
        "rng": {"key": jax.random.key_data(key)},
    }


def _target(item: Any) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), item
    )


def _is_disk(error: Exception) -> bool:
    """Whether this is how Orbax, TensorStore or Python say that a disk is full or broken."""
    if isinstance(error, TimeoutError):  # an OSError too, but of a barrier: another process went away
        return False
    return isinstance(error, OSError) or any(sign in str(error) for sign in DISK_SIGNS)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
