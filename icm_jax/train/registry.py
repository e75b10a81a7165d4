"""The objectives by name, and how a whole config becomes an objective and the engine's settings."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_collections

from icm_jax.errors import IcmError
from icm_jax.objectives import (
    all_in_one,
    base_codec,
    dense_prediction,
    distillation,
    joint_decoder,
    multi_task,
    preprocessor,
    transfer,
)
from icm_jax.train.config import PLAIN, SECTIONS, RunConfig, plain_values, refuse_unknown, run_config, section
from icm_jax.train.objective import Objective


class Entry(NamedTuple):
    """An objective's own config sections and the function that builds it from them, by keyword, and the run's config.

    A section is a dataclass, read strictly by its fields, or a function of the section's values.

    Attributes:
        continues: it takes `init_from`.
    """

    sections: Mapping[str, Callable[..., Any]]
    build: Callable[..., Objective]
    continues: bool = False


OBJECTIVES: dict[str, Entry] = {
    "base_codec": Entry(base_codec.SECTIONS, base_codec.base_codec, continues=True),
    "transfer": Entry(transfer.SECTIONS, transfer.transfer, continues=True),
    "dense_prediction": Entry(dense_prediction.SECTIONS, dense_prediction.dense_prediction),
    "distillation": Entry(distillation.SECTIONS, distillation.distillation),
    "all_in_one": Entry(all_in_one.SECTIONS, all_in_one.all_in_one, continues=True),
    "joint_decoder": Entry(joint_decoder.SECTIONS, joint_decoder.joint_decoder),
    "preprocessor": Entry(preprocessor.SECTIONS, preprocessor.preprocessor),
    "multi_task": Entry(multi_task.SECTIONS, multi_task.multi_task),
}


def default_config(objective: str) -> ml_collections.ConfigDict:
    """A config of an objective with every key at its default, so that each can be changed on the command line."""
    sections = {**SECTIONS, **_entry(objective).sections}
    values = {name: _defaults(make) for name, make in sections.items() if dataclasses.is_dataclass(make)}
    return ml_collections.ConfigDict({**PLAIN, "objective": objective, **values})


def parse(config: ml_collections.ConfigDict) -> tuple[RunConfig, Objective]:
    """Checks every key and value of a config and builds what it describes.

    Raises:
        IcmError: unknown objective, section or key (with the nearest valid one), or an impossible value.
    """
    values = plain_values(config)
    entry = _entry(values.get("objective", "base_codec"))
    refuse_unknown("config", values, {*SECTIONS, *PLAIN, "objective", *entry.sections})
    run = run_config(values)
    if run.init_from and not entry.continues:
        able = ", ".join(name for name, other in OBJECTIVES.items() if other.continues)
        raise IcmError(
            f"init_from={run.init_from} is not used by objective {values['objective']!r}, only by {able}; leave it out"
        )
    own = {key: _read(key, make, values.get(key, {})) for key, make in entry.sections.items()}
    return run, entry.build(run, **own)


def _entry(objective: str) -> Entry:
    if objective not in OBJECTIVES:
        raise IcmError(f"objective={objective!r} is unknown; choose one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[objective]


def _read(name: str, make: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    return section(name, make, values) if dataclasses.is_dataclass(make) else make(values)


def _defaults(section_class: Any) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(section_class) if field.init}
