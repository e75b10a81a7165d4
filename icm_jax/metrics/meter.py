"""What every counter of a metric can do, and how the shares of several processes become one."""

import functools
from collections.abc import Iterable
from typing import Protocol, Self, TypeVar

import numpy as np

from icm_jax.errors import IcmError

IGNORE = 255  # the label of pixels that count nowhere, in every dense task


class Mergeable(Protocol):
    """A counter that can take up another of its kind."""

    def merge(self, other: Self) -> Self:
        """The counter of both sets of images."""
        ...


M = TypeVar("M", bound=Mergeable)


def merge_all(shares: Iterable[M]) -> M:
    """The counter of the whole set from those of its shares."""
    parts = list(shares)
    if not parts:
        raise IcmError("there are 0 counters to merge, at least 1 is needed; start from an empty one")
    return functools.reduce(lambda merged, share: merged.merge(share), parts)


def check_same_shape(prediction: np.ndarray, label: np.ndarray, axes: str) -> None:
    """Raises IcmError unless both are of one shape with the axes named, such as "b h w"."""
    if prediction.shape != label.shape or prediction.ndim != len(axes.split()):
        raise IcmError(
            f"prediction {list(prediction.shape)} and label {list(label.shape)} must both be [{axes}]; "
            "resize the prediction to the label and keep the batch axis"
        )


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole in float64, 0 where both are 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) != 0)
