"""Numbers of a held-out set: what a training of dense tasks says about examples that it does not learn from."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from jax import Array

from icm_jax.train.objective import Batch

Judge = Callable[[Batch], tuple[Array, Mapping[str, Array]]]


def held_out_means(judge: Judge, batches: Iterable[Batch]) -> dict[str, float]:
    """The loss and its parts, means over batches; `judge` gives both of one batch."""
    measured = [{"loss": value, **parts} for value, parts in map(judge, batches)]
    return {name: float(np.mean([one[name] for one in measured])) for name in measured[0]}
