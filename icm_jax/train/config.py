"""The engine's sections of a training config, read strictly: an unknown key stops a run before its first step.

name, seed, init_from, objective, trainable      plain keys
optim, mesh, compute, checkpoint, log       the engine's
model, data, …                              the objective's own, declared beside it (icm_jax.train.registry)
"""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import ml_collections

from icm_jax.errors import IcmError
from icm_jax.paths import Rule

T = TypeVar("T")

SCHEDULE_OF = {
    "milestones": "milestones",
    "decay_start": "cosine",
    "final_fraction": "cosine",
    "power": "polynomial",
}


@dataclass(frozen=True)
class OptimConfig:
    """One optimiser for the networks, an Adam of its own for the quantiles of a prior.

    Attributes:
        optimizer: "adam", as published; "adamw", whose weight decay Adam does not see; or "muon" (orthogonalised
            momentum for kernels, Adam for the rest), which needs half the steps on small convolutional codecs.
        learning_rate: peak, reached after `warmup_steps`.
        schedule: "constant", "milestones" (times `milestone_factor` at each fraction of `milestones`), "cosine"
            (constant until the fraction `decay_start` of the run, then a half cosine down to `final_fraction` of the
            peak) or "polynomial" (the share of the run that is left, to the power `power`).
        rates: path rules -> factor on the learning rate.
        weight_decay: added to the gradient before Adam sees it (coupled, as PyTorch's Adam does it), and with "adamw"
            to what Adam makes of the gradient.
        decay: path rules -> factor on the weight decay; what no rule decides decays fully.
        clip_norm: limit of the global gradient norm.
        aux_learning_rate: Adam of the auxiliary loss.
        ema_decay: of the averaged weights that are evaluated and exported; 0 keeps the raw ones.
        accumulate: parts a batch is cut into; gradients are averaged over them in the memory of one.
        skip_not_finite: so many steps in a row may be left out because loss or gradient is not finite.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-4
    total_steps: int = 1
    warmup_steps: int = 0
    schedule: str = "constant"
    milestones: tuple[float, ...] = (0.5, 0.75)
    milestone_factor: float = 0.5
    decay_start: float = 0.0
    final_fraction: float = 0.02
    power: float = 0.9
    rates: tuple[Rule[float], ...] = ()
    weight_decay: float = 0.0
    decay: tuple[Rule[float], ...] = ()
    clip_norm: float = 1.0
    aux_learning_rate: float = 1e-3
    ema_decay: float = 0.0
    accumulate: int = 1
    skip_not_finite: int = 0

    def __post_init__(self) -> None:
        one_of("optim.schedule", self.schedule, ("constant", "milestones", "cosine", "polynomial"))
        one_of("optim.optimizer", self.optimizer, ("adam", "adamw", "muon"))
        _at_least("optim.total_steps", self.total_steps, 1)
        _at_least("optim.accumulate", self.accumulate, 1)
        _at_least("optim.skip_not_finite", self.skip_not_finite, 0)
        if not 0 <= self.ema_decay < 1:
            raise IcmError(f"optim.ema_decay={self.ema_decay} must lie in [0, 1)")
        for key, schedule in SCHEDULE_OF.items():
            refuse_unused("optim", self, key, self.schedule == schedule, f"optim.schedule={schedule!r}")
        refuse_unused("optim", self, "decay", self.weight_decay > 0, "optim.weight_decay above 0")


@dataclass(frozen=True)
class MeshConfig:
    """How the devices of all processes are used.

    Attributes:
        fsdp: devices that share one copy of the state; all others of the run work on more rows of the batch.
        rules: path rules -> the axis of a parameter that is split: "rows" (last but one), "columns" (last),
            "largest" or "replicated". What no rule decides splits its largest axis that can be.
        min_size: parameters with fewer elements are not split unless a rule says so.
    """

    fsdp: int = 1
    rules: tuple[Rule[str], ...] = ()
    min_size: int = 4096

    def __post_init__(self) -> None:
        for pattern, axis in self.rules:
            one_of(f"mesh.rules[{pattern!r}]", axis, ("rows", "columns", "largest", "replicated"))


@dataclass(frozen=True)
class ComputeConfig:
    """Number formats and recomputation; see `icm_jax.train.compute`.

    Attributes:
        dtypes: path rules -> "bfloat16", "float16" or "float32".
        remat: patterns of Flax module paths that are computed again for the gradient.
        matmul: precision of float32 products, "" for the backend's default, "tensorfloat32" or "float32".
        quick_compile: leaves out most of XLA's optimisations; for runs of a few steps, which mostly compile.
    """

    dtypes: tuple[Rule[str], ...] = ()
    remat: tuple[str, ...] = ()
    matmul: str = ""
    quick_compile: bool = False

    def __post_init__(self) -> None:
        one_of("compute.matmul", self.matmul, ("", "tensorfloat32", "float32"))
        for pattern, dtype in self.dtypes:
            one_of(f"compute.dtypes[{pattern!r}]", dtype, ("bfloat16", "float16", "float32"))


@dataclass(frozen=True)
class CheckpointConfig:
    """How often the state is saved and which states are kept.

    Attributes:
        every_steps: steps between checkpoints; the last step is saved in any case.
        keep: newest checkpoints that are kept.
        best: name of a validation number; the checkpoint with the best one is kept too. "" keeps none.
        best_mode: "min" or "max".
    """

    every_steps: int = 1000
    keep: int = 2
    best: str = ""
    best_mode: str = "min"

    def __post_init__(self) -> None:
        _at_least("checkpoint.every_steps", self.every_steps, 1)
        _at_least("checkpoint.keep", self.keep, 1)
        one_of("checkpoint.best_mode", self.best_mode, ("min", "max"))
        refuse_unused("checkpoint", self, "best_mode", bool(self.best), "checkpoint.best")


@dataclass(frozen=True)
class LogConfig:
    """What a run says about itself, and how often.

    Attributes:
        every_steps: steps between numbers (TensorBoard, metrics.jsonl, progress line).
        validate_steps: steps between validations, which also write pictures and histograms; 0: only at checkpoints.
        profile: (first, end): a profiler trace of steps first to end - 1, written to WORKDIR/profile; () for none.
    """

    every_steps: int = 50
    validate_steps: int = 0
    profile: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _at_least("log.every_steps", self.every_steps, 1)
        if self.profile and not (len(self.profile) == 2 and 0 <= self.profile[0] < self.profile[1]):
            raise IcmError(f"log.profile={self.profile} must be (first step, a later one) or ()")


@dataclass(frozen=True)
class RunConfig:
    """What the engine needs to know."""

    name: str
    seed: int
    init_from: str
    trainable: tuple[str, ...]
    optim: OptimConfig
    mesh: MeshConfig
    compute: ComputeConfig
    checkpoint: CheckpointConfig
    log: LogConfig


SECTIONS: dict[str, type[Any]] = {
    "optim": OptimConfig,
    "mesh": MeshConfig,
    "compute": ComputeConfig,
    "checkpoint": CheckpointConfig,
    "log": LogConfig,
}
PLAIN: dict[str, Any] = {"name": "run", "seed": 42, "init_from": "", "trainable": ()}


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """The engine's part of a config's values; other keys are somebody else's."""
    sections = {name: section(name, cls, values.get(name, {})) for name, cls in SECTIONS.items()}
    plain = {name: _tuples(values.get(name, default)) for name, default in PLAIN.items()}
    return RunConfig(**plain, **sections)


def section(name: str, make: Callable[..., T], values: Mapping[str, Any]) -> T:
    """A section from its values, by keyword.

    Raises:
        IcmError: an unknown key, with the nearest valid one, or an impossible value.
    """
    fields = {field.name for field in dataclasses.fields(make) if field.init}  # type: ignore[arg-type]
    refuse_unknown(f"config.{name}", values, fields)
    return make(**{key: _tuples(value) for key, value in values.items()})


def refuse_unknown(where: str, values: Mapping[str, Any], known: set[str]) -> None:
    """Raises IcmError for the first key of `values` that is not `known`, with the nearest that is."""
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise IcmError(
                f"{where} has no key {key!r}; did you mean {near[0]!r}? valid: {', '.join(sorted(known))}"
            )


def plain_values(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """A config as nested dicts, tuples instead of lists."""
    return {key: _tuples(value) for key, value in config.to_dict().items()}


def _tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def refuse_unused(name: str, section: Any, key: str, used: bool, condition: str) -> None:
    """Raises IcmError for a key that was changed and that nothing reads."""
    value = getattr(section, key)
    if not used and value != type(section).__dataclass_fields__[key].default:
        raise IcmError(f"{name}.{key}={value!r} is used with {condition} alone; set that, or leave {key} out")


def one_of(name: str, value: str, valid: tuple[str, ...]) -> None:
    """Raises IcmError for a word that is not one of the `valid` ones."""
    if value not in valid:
        raise IcmError(f"{name}={value!r}; choose {' or '.join(map(repr, valid))}")


def _at_least(name: str, value: int, limit: int) -> None:
    if value < limit:
        raise IcmError(f"{name}={value} must be at least {limit}")
