"""Bjøntegaard deltas between two rate-accuracy curves: rate at equal accuracy, accuracy at equal rate.

G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001 (cubic); JVET uses
PCHIP, C. Herglotz et al., "Beyond Bjøntegaard", ICIP 2022, Akima. The integrals are those of the package
`bjontegaard` (extra `eval`); what it would compute on curves that fold back is refused here.
"""

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.evaluate.monotone_fit import fit_monotone, is_rising

Method = Literal["cubic", "pchip", "akima"]
FEWEST_POINTS: dict[Method, int] = {"cubic": 4, "pchip": 3, "akima": 3}  # cubic: four coefficients
LEAST_STEP = (
    1e-4  # between points of a fit, as a share of the data's range; less is solver noise on a flat line
)


@dataclass(frozen=True)
class BdResult:
    """A delta over the part that the curves share, or NaN and the reason.

    `value` is in per cent of rate for `bd_rate` (negative is better), in the metric's unit for `bd_accuracy`
    (positive is better, whichever way the metric runs). `overlap` is the shared part of the axis integrated
    over (accuracy for `bd_rate`, log rate for `bd_accuracy`) as a share of what either covers. `non_monotone`
    names the curves, "anchor" or "curve", whose accuracy does not rise with rate; `bd_rate` then gives as
    `fit_value` the delta with these replaced by a monotone fit to their points, else it is NaN.
    """

    value: float
    method: Method
    overlap: float
    reason: str = ""
    non_monotone: tuple[str, ...] = ()
    fit_value: float = float("nan")


@dataclass(frozen=True)
class Points:
    """A curve by rising rate: `rate` in any unit of bits and `quality` [n], where higher is better."""

    rate: np.ndarray
    quality: np.ndarray

    def fitted(self, bounds: tuple[float, float]) -> "Points":
        return Points(self.rate, fit_monotone(np.log10(self.rate), self.quality, bounds))


def bd_rate(
    anchor_rate: Sequence[float],
    anchor_accuracy: Sequence[float],
    rate: Sequence[float],
    accuracy: Sequence[float],
    method: Method = "cubic",
    lower_is_better: bool = False,
    min_overlap: float = 0.0,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> BdResult:
    """Rate that the curve needs more than the anchor for equal accuracy, per cent.

    Points may come in any order. With a curve whose accuracy does not rise strictly, rate is no function of
    accuracy: the value is NaN then, and `fit_value` stands beside it.

    Args:
        min_overlap: smallest share of the accuracy range that both must cover, in [0, 1].
        bounds: limits of the accuracy, such as (0, 100) for per cent; they limit the fit too.

    Raises:
        IcmError: too few points, rates that repeat or are not positive, values that are not finite, or
            `bjontegaard` is not installed.
    """
    curves = _curves(anchor_rate, anchor_accuracy, rate, accuracy, method, lower_is_better)
    if lower_is_better:
        bounds = (-bounds[1], -bounds[0])
    folded = tuple(name for name, curve in curves.items() if not is_rising(curve.quality))
    if not folded:
        return _delta("bd_rate", curves, method, min_overlap)
    fit_value, fit_reason = _fit_delta(curves, folded, method, min_overlap, bounds)
    reason = f"accuracy of the {' and the '.join(folded)} does not rise with rate"
    return BdResult(
        float("nan"),
        method,
        _overlap(*(curve.quality for curve in curves.values())),
        f"{reason}; {fit_reason}" if fit_reason else reason,
        folded,
        fit_value,
    )


def bd_accuracy(
    anchor_rate: Sequence[float],
    anchor_accuracy: Sequence[float],
    rate: Sequence[float],
    accuracy: Sequence[float],
    method: Method = "cubic",
    lower_is_better: bool = False,
    min_overlap: float = 0.0,
) -> BdResult:
    """Accuracy that the curve has beyond the anchor at equal rate, in the metric's unit; positive is better.

    Curves that fold back are functions of rate all the same: they are flagged, but integrated as they are.
    Arguments and errors are those of `bd_rate`; `min_overlap` is a share of the range of log rate.
    """
    curves = _curves(anchor_rate, anchor_accuracy, rate, accuracy, method, lower_is_better)
    return _delta("bd_psnr", curves, method, min_overlap)


def _fit_delta(
    curves: dict[str, Points],
    folded: tuple[str, ...],
    method: Method,
    min_overlap: float,
    bounds: tuple[float, float],
) -> tuple[float, str]:
    """BD rate with the curves in `folded` replaced by their fits, or NaN and the reason."""
    try:
        fitted = {name: curve.fitted(bounds) if name in folded else curve for name, curve in curves.items()}
    except IcmError as error:
        return float("nan"), str(error)
    for name in folded:
        if not is_rising(fitted[name].quality, LEAST_STEP * float(np.ptp(curves[name].quality))):
            return float("nan"), f"the monotone fit of the {name} is flat"
    fit = _delta("bd_rate", fitted, method, min_overlap)
    return fit.value, fit.reason


def _delta(function: str, curves: dict[str, Points], method: Method, min_overlap: float) -> BdResult:
    anchor, test = curves.values()
    axis = "accuracy" if function == "bd_rate" else "rate"
    ranges = [curve.quality if axis == "accuracy" else np.log10(curve.rate) for curve in (anchor, test)]
    overlap = _overlap(*ranges)
    folded = tuple(name for name, curve in curves.items() if not is_rising(curve.quality))
    reason = ""
    if overlap == 0:
        reason = f"the curves share no {axis}"
    elif overlap < min_overlap:
        reason = f"the curves share {overlap:.0%} of their {axis}, the limit is {min_overlap:.0%}"
    if reason:
        return BdResult(float("nan"), method, overlap, reason, folded)
    delta = getattr(_bjontegaard(), function)(
        anchor.rate,
        anchor.quality,
        test.rate,
        test.quality,
        method=method,
        require_matching_points=False,
        min_overlap=0,
    )
    return BdResult(float(delta), method, overlap, "", folded)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    shared = min(a.max(), b.max()) - max(a.min(), b.min())
    covered = max(a.max(), b.max()) - min(a.min(), b.min())
    return float(max(shared, 0) / covered) if covered > 0 else 0.0


def _curves(
    anchor_rate: Sequence[float],
    anchor_accuracy: Sequence[float],
    rate: Sequence[float],
    accuracy: Sequence[float],
    method: Method,
    lower_is_better: bool,
) -> dict[str, Points]:
    """Both curves, checked, by rising rate, with qualities where higher is better."""
    if method not in FEWEST_POINTS:
        raise IcmError(f"BD method {method!r} is unknown; known: {', '.join(FEWEST_POINTS)}")
    given = {"anchor": (anchor_rate, anchor_accuracy), "curve": (rate, accuracy)}
    return {name: _points(name, *values, method, lower_is_better) for name, values in given.items()}


def _points(
    name: str, rate: Sequence[float], accuracy: Sequence[float], method: Method, lower_is_better: bool
) -> Points:
    rates, quality = np.asarray(rate, np.float64), np.asarray(accuracy, np.float64)
    if rates.shape != quality.shape or rates.ndim != 1:
        raise IcmError(
            f"the {name} has {rates.size} rates and {quality.size} accuracies; give one of each a point"
        )
    fewest = FEWEST_POINTS[method]
    if len(rates) < fewest:
        way_out = "measure more rates" + (", or use pchip from 3" if method == "cubic" else "")
        raise IcmError(f"the {name} has {len(rates)} points, {method} needs at least {fewest}; {way_out}")
    if not (np.isfinite(rates) & np.isfinite(quality)).all() or rates.min() <= 0:
        raise IcmError(
            f"the {name} has a rate of 0 or less, or a value that is not finite; leave such points out"
        )
    order = np.argsort(rates)
    rates, quality = rates[order], quality[order]
    if not is_rising(rates):
        repeated = rates[:-1][np.diff(rates) == 0][0]
        raise IcmError(f"the {name} has the rate {repeated:g} twice; keep one point a rate")
    return Points(rates, -quality if lower_is_better else quality)


def _bjontegaard() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # it imports pyplot, which warns where there is no home to write to
            return importlib.import_module("bjontegaard")
    except ImportError as error:
        raise IcmError(
            "BD metrics need the package bjontegaard, which is not installed; pip install 'icm-jax[eval]'"
        ) from error
