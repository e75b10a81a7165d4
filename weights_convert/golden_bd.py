"""Golden checks of BD deltas against the package bjontegaard, and of the fit against that of MPEG VCM."""

from pathlib import Path

import numpy as np

from icm_jax.evaluate.bd import FEWEST_POINTS, BdResult, bd_accuracy, bd_rate
from icm_jax.evaluate.monotone_fit import fit_monotone
from weights_convert.golden_file import GoldenFile, Row, Tolerance

DELTA = Tolerance(absolute=1e-9)  # per cent or accuracy; other versions of LAPACK round otherwise
FIT = Tolerance(absolute=0.5)  # SLSQP of the reference starts elsewhere and may stop early
PER_CENT = (0.0, 100.0)


def check_bd(path: Path) -> list[Row]:
    """Cases of two curves each; a case named negated holds a metric where lower is better."""
    file = GoldenFile(path)
    for case in sorted({name.partition("/")[0] for name in file.arrays}):
        _check_case(file, case)
    return file.finish()


def _check_case(file: GoldenFile, case: str) -> None:
    sign = -1 if "negated" in case else 1
    anchor_rate, rate = file.read(f"{case}/ra").tolist(), file.read(f"{case}/rt").tolist()
    anchor_accuracy, accuracy = (sign * file.read(f"{case}/{name}") for name in ("qa", "qt"))
    curves = (anchor_rate, anchor_accuracy.tolist(), rate, accuracy.tolist())
    if f"{case}/vcm_fit_q" in file:
        fit = fit_monotone(np.log10(rate), accuracy, PER_CENT)
        file.compare(f"{case}/vcm_fit_q", fit, FIT)
        file.ignore(f"{case}/vcm_fit_(coef|success)", "the fit is compared by its values at the points")
    for method in FEWEST_POINTS:
        _check_delta(file, f"{case}/bd_rate/{method}", bd_rate(*curves, method, sign < 0))
        _check_delta(file, f"{case}/bd_acc/{method}", bd_accuracy(*curves, method, sign < 0))


def _check_delta(file: GoldenFile, name: str, ours: BdResult) -> None:
    theirs, error = float(file.read(name)), str(file.read(f"{name}/error"))
    if ours.non_monotone and np.isnan(ours.value):
        told = error or f"the package returns {theirs:.1f} in silence"
        file.require(name, bool(ours.reason), f"refused: {ours.reason}; {told}")
    elif np.isnan(theirs):
        file.require(name, np.isnan(ours.value) and bool(ours.reason), f"NaN in both: {ours.reason}")
    else:
        file.compare(name, ours.value, DELTA)
