"""What the engine trains: everything that differs between objectives, as one value of functions.

    Objective ── initial_params, loss, batches ──► engine (loop, step, mesh, checkpoints) ──► export, evaluate

The engine knows no codec, no adapter and no recogniser. A new objective is one module that builds an `Objective` and
one row in `icm_jax.train.registry.OBJECTIVES`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jax import Array

Params = Mapping[str, Any]
Batch = dict[str, Any]
Metrics = dict[str, Array]


@dataclass(frozen=True)
class Share:
    """Which rows of every batch this process loads: block `index` of `count` equal ones."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True)
class Loss:
    """What a loss function returns.

    Attributes:
        value: what is minimised; the mean over the batch, so that the mean over equal parts of it is the same number.
        metrics: numbers for the log.
        statistics: new values of what `Objective.statistics` names, such as running means of batch norms; else empty.
    """

    value: Array
    metrics: Metrics
    statistics: Params = field(default_factory=dict)


class Pictures(NamedTuple):
    """What a log shows beside numbers: images [h, w, 3] in [0, 1] and values for histograms, by name."""

    images: dict[str, np.ndarray]
    histograms: dict[str, np.ndarray]


@dataclass(frozen=True)
class Objective:
    """One thing to train.

    Attributes:
        initial_params: key -> parameters, a nested dict of everything, frozen parts included.
        loss: (params, batch, step, key) -> `Loss`; pure, jitted by the engine.
        batches: (seed, share, first) -> endless batches from number `first` on. Every batch is a dict of arrays
            with the same leading axis; "id" [b] names the examples. Batch n is the same whatever `first` is, and
            the blocks of all shares in order are the batch of the only share.
        batch_size: examples of a whole batch.
        export: (averaged params, facts about the training, folder) -> what was written there.
        evaluate: (what export returned, folder for results) -> None, through real files.
        validate: averaged params -> numbers of a held-out set, or None when there is none.
        show: averaged params -> pictures for the log, or None.
        trainable: patterns of the paths that are trained when a config does not say.
        statistics: patterns of the paths that steps change without a gradient; the loss returns their new values.
    """

    initial_params: Callable[[Array], dict[str, Any]]
    loss: Callable[[Params, Batch, Array, Array], Loss]
    batches: Callable[[int, Share, int], Iterator[Batch]]
    batch_size: int
    export: Callable[[Params, Mapping[str, Any], Path], list[Path]]
    evaluate: Callable[[Sequence[Path], Path], None] | None = None
    validate: Callable[[Params], dict[str, float]] | None = None
    show: Callable[[Params], Pictures] | None = None
    trainable: tuple[str, ...] = (".*",)
    statistics: tuple[str, ...] = ()
