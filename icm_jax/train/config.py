"""Typed sections of a training config, read strictly: an unknown key stops the run before its first step."""

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any, TypeVar

import ml_collections

from icm_jax.errors import IcmError
from icm_jax.models.registry import ModelSpec, model_spec


@dataclass(frozen=True)
class RateConfig:
    """Rate–distortion weights; loss = lmbda · 255² · MSE + bpp. More than one trains a rate family.

    Attributes:
        lmbda: one weight a rate.
        first_quality: number of the first exported codec; the others follow in the order of `lmbda`.
        order: the rates that steps visit, by index, again and again; empty: one after the other.
        decoder: what the decoder is trained on, "noise" or "rounded" latents (straight-through gradient; the rate
            is always that of noisy ones). Rounding is what it meets in a stream, so it makes a good end of training.
    """

    lmbda: tuple[float, ...] = (0.0067,)
    first_quality: int = 1
    order: tuple[int, ...] = ()
    decoder: str = "noise"


@dataclass(frozen=True)
class DataConfig:
    """Where the photos come from and how they are cut."""

    folder: str = ""
    crop: int = 256
    batch_size: int = 16
    threads: int = 2


@dataclass(frozen=True)
class OptimConfig:
    """One optimiser for the networks, an Adam of its own for the quantiles of the prior.

    Attributes:
        optimizer: "adam", as published, or "muon" (orthogonalised momentum for kernels, Adam for the rest), which
            needs half the steps on small convolutional codecs.
        learning_rate: peak, reached after `warmup_steps`.
        schedule: "constant", "milestones" (halved at each fraction of `milestones`) or "cosine" (constant until
            the fraction `decay_start` of the run, then a half cosine down to `final_fraction` of the peak).
        clip_norm: limit of the global gradient norm.
        aux_learning_rate: Adam of the auxiliary loss.
        ema_decay: of the averaged weights that are evaluated and exported; 0 keeps the raw ones.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-4
    total_steps: int = 1
    warmup_steps: int = 0
    schedule: str = "constant"
    milestones: tuple[float, ...] = (0.5, 0.75)
    decay_start: float = 0.0
    final_fraction: float = 0.02
    clip_norm: float = 1.0
    aux_learning_rate: float = 1e-3
    ema_decay: float = 0.0


@dataclass(frozen=True)
class CheckpointConfig:
    """How often the state is saved and how many states are kept."""

    every_steps: int = 1000
    keep: int = 2


@dataclass(frozen=True)
class LogConfig:
    """How often scalars are written and the progress line is renewed."""

    every_steps: int = 50


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation through real files after training; an empty folder leaves it out."""

    folder: str = ""
    limit: int = 0


@dataclass(frozen=True)
class TrainConfig:
    """A whole run."""

    name: str
    seed: int
    init_from: str
    model: ModelSpec
    rate: RateConfig
    data: DataConfig
    optim: OptimConfig
    checkpoint: CheckpointConfig
    log: LogConfig
    eval: EvalConfig


SECTIONS: dict[str, type[Any]] = {
    "rate": RateConfig,
    "data": DataConfig,
    "optim": OptimConfig,
    "checkpoint": CheckpointConfig,
    "log": LogConfig,
    "eval": EvalConfig,
}
PLAIN: dict[str, Any] = {"name": "codec", "seed": 42, "init_from": ""}
T = TypeVar("T")


def parse(config: ml_collections.ConfigDict) -> TrainConfig:
    """Checks every key and value of a config.

    Raises:
        IcmError: unknown key (with the nearest valid one), missing model section or impossible value.
    """
    values = config.to_dict()
    _refuse_unknown("config", values, {*SECTIONS, *PLAIN, "model"})
    if "model" not in values:
        raise IcmError("config has no section 'model'; name one, for example model.name='tic'")
    sections = {name: _section(name, cls, values.get(name, {})) for name, cls in SECTIONS.items()}
    plain = {name: values.get(name, default) for name, default in PLAIN.items()}
    parsed = TrainConfig(**plain, model=model_spec(values["model"]), **sections)
    _check(parsed)
    return parsed


def _section(name: str, cls: type[T], values: dict[str, Any]) -> T:
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    _refuse_unknown(f"config.{name}", values, set(fields))
    tuples = {key: tuple(value) for key, value in values.items() if isinstance(value, (list, tuple))}
    return cls(**{**values, **tuples})


def _refuse_unknown(where: str, values: dict[str, Any], known: set[str]) -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise IcmError(
                f"{where} has no key {key!r}; did you mean {near[0]!r}? valid: {', '.join(sorted(known))}"
            )


def _check(config: TrainConfig) -> None:
    if not config.rate.lmbda or min(config.rate.lmbda) <= 0:
        raise IcmError(f"rate.lmbda={config.rate.lmbda} must list positive weights, such as (0.0067,)")
    if not all(0 <= rate < len(config.rate.lmbda) for rate in config.rate.order):
        raise IcmError(f"rate.order={config.rate.order} must name rates 0 to {len(config.rate.lmbda) - 1}")
    if config.rate.decoder not in ("noise", "rounded"):
        raise IcmError(f"rate.decoder={config.rate.decoder!r}; choose 'noise' or 'rounded'")
    if config.data.crop % 64:
        raise IcmError(f"data.crop={config.data.crop} must be a multiple of 64, the stride of z")
    if config.optim.schedule not in ("constant", "milestones", "cosine"):
        raise IcmError(
            f"optim.schedule={config.optim.schedule!r}; choose 'constant', 'milestones' or 'cosine'"
        )
    if config.optim.optimizer not in ("adam", "muon"):
        raise IcmError(f"optim.optimizer={config.optim.optimizer!r}; choose 'adam' or 'muon'")
    if not 0 <= config.optim.ema_decay < 1:
        raise IcmError(f"optim.ema_decay={config.optim.ema_decay} must lie in [0, 1)")
    for name, value in (
        ("data.batch_size", config.data.batch_size),
        ("optim.total_steps", config.optim.total_steps),
    ):
        if value < 1:
            raise IcmError(f"{name}={value} must be at least 1")
