"""A cubic that never falls, fitted to accuracy over log rate.

D. Ding et al., "Improvements of the BD-rate model using monotonic curve-fitting method", ISO/IEC JTC 1/SC 29/
WG 4 m63692, 2023, as used by MPEG VCM and FCM: least squares where, at the points, the slope is not negative
and does not increase, and values keep within bounds.
"""

import numpy as np
from scipy.optimize import minimize

from icm_jax.errors import IcmError

DEGREE = 3


def is_rising(values: np.ndarray, least_step: float = 0.0) -> bool:
    """Whether each value is larger than the one before, by more than `least_step`."""
    return bool((np.diff(values) > least_step).all())


def fit_monotone(
    log_rate: np.ndarray, quality: np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> np.ndarray:
    """Values of the fit at the points [n], by rising log rate.

    The problem is convex, so it has one minimum. Both axes are scaled to unit range first: in raw units SLSQP
    can stop far from it.

    Raises:
        IcmError: the solver did not find the minimum, or no fit keeps to the bounds.
    """
    x = (log_rate - log_rate.mean()) / np.ptp(log_rate)
    centre, spread = quality.mean(), np.ptp(quality) or 1.0
    target = (quality - centre) / spread
    low, high = ((bound - centre) / spread for bound in bounds)
    powers = np.vander(x, DEGREE + 1)
    slopes = powers @ _derivative()
    curvatures = slopes @ _derivative()
    rows = [slopes, -curvatures]
    limits = [np.zeros(len(x)), np.zeros(len(x))]
    for row, limit in ((powers[0], low), (-powers[-1], -high)):
        if np.isfinite(limit):
            rows.append(row[None])
            limits.append(np.array([limit]))
    matrix, least = np.concatenate(rows), np.concatenate(limits)
    solution = minimize(
        lambda c: ((powers @ c - target) ** 2).sum(),
        x0=np.array([0.0, 0.0, 1.0, 0.0]),  # rising along the points
        jac=lambda c: 2 * powers.T @ (powers @ c - target),
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda c: matrix @ c - least, "jac": lambda c: matrix},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    if not solution.success:
        raise IcmError(
            f"no monotone fit to {len(x)} points was found ({solution.message}); "
            "check that the bounds hold the points"
        )
    return centre + spread * (powers @ solution.x)


def _derivative() -> np.ndarray:
    """Matrix D: (powers @ D) @ c is the derivative of the polynomial powers @ c, highest power first.

    Coefficient j belongs to x^(3-j), whose derivative is (3-j) x^(2-j), the power in column j + 1.
    """
    matrix = np.zeros((DEGREE + 1, DEGREE + 1))
    for j in range(DEGREE):
        matrix[j + 1, j] = DEGREE - j
    return matrix
