"""How far two arrays are from one another, in the units that tell causes apart.

An error of a few ULP everywhere is rounding; a large error at one place is a border; a cosine below 1 is a mistake.
"""

from typing import NamedTuple

import numpy as np

PERCENTILES = (50, 99, 100)


class Difference(NamedTuple):
    """Of ours from a reference.

    Attributes:
        name: stage, or path of a parameter.
        shape: of both.
        max_abs: largest absolute difference.
        relative: the same over the largest entry of the reference, or over `floor` if that is more.
        ulps: differences in units of the reference's last place, at PERCENTILES of the elements. An element that is
            nothing beside the largest is counted in units of what is.
        cosine: of the two as vectors; 1 for the same direction, and where both are zero.
        worst: index of the largest difference.
        ours, theirs: the values there.
    """

    name: str
    shape: tuple[int, ...]
    max_abs: float
    relative: float
    ulps: tuple[float, ...]
    cosine: float
    worst: tuple[int, ...]
    ours: float
    theirs: float


def difference(name: str, ours: np.ndarray, theirs: np.ndarray, floor: float = 0.0) -> Difference:
    """Compares two arrays of one shape; ULPs are those of the reference's dtype.

    Args:
        floor: what counts as nothing beside the other arrays, such as a gradient that only rounding keeps from 0.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"{name}: shape {ours.shape} here, {theirs.shape} there")
    exact_ours, exact_theirs = ours.astype(np.float64), theirs.astype(np.float64)
    error = np.abs(exact_ours - exact_theirs)
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    scale = max(float(np.abs(exact_theirs).max()), floor)
    max_abs = float(error[worst])
    smallest = (scale or 1.0) * float(np.finfo(theirs.dtype).eps)
    unit = np.spacing(np.maximum(np.abs(theirs), theirs.dtype.type(smallest)))
    return Difference(
        name=name,
        shape=ours.shape,
        max_abs=max_abs,
        relative=max_abs / scale if scale else max_abs,
        ulps=tuple(np.percentile(error / unit, PERCENTILES).tolist()),
        cosine=_cosine(exact_ours.ravel(), exact_theirs.ravel()),
        worst=tuple(int(i) for i in worst),
        ours=float(exact_ours[worst]),
        theirs=float(exact_theirs[worst]),
    )


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return min(float(a @ b) / lengths, 1.0) if lengths else float(not a.any() and not b.any())
