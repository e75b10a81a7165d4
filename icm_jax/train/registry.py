"""The tasks by name, and how a whole config becomes a task and the engine's settings."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_collections

from icm_jax.errors import IcmError
from icm_jax.tasks import base_codec
from icm_jax.train.config import PLAIN, SECTIONS, RunConfig, plain_values, refuse_unknown, run_config
from icm_jax.train.task import Task


class TaskEntry(NamedTuple):
    """A task's own config sections and the function that builds it from them, by keyword, and the run's config."""

    sections: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    build: Callable[..., Task]


TASKS: dict[str, TaskEntry] = {
    "base_codec": TaskEntry(base_codec.SECTIONS, base_codec.base_codec),
}


def parse(config: ml_collections.ConfigDict) -> tuple[RunConfig, Task]:
    """Checks every key and value of a config and builds what it describes.

    Raises:
        IcmError: unknown task, section or key (with the nearest valid one), or an impossible value.
    """
    values = plain_values(config)
    name = values.get("task", "base_codec")
    if name not in TASKS:
        raise IcmError(f"task={name!r} is unknown; choose one of {', '.join(TASKS)}")
    entry = TASKS[name]
    refuse_unknown("config", values, {*SECTIONS, *PLAIN, "task", *entry.sections})
    run = run_config(values)
    own = {key: read(values.get(key, {})) for key, read in entry.sections.items()}
    return run, entry.build(run, **own)
