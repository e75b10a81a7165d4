"""Δm: how much better one multi-task model is than single-task models, on average over the tasks.

K. Maninis, I. Radosavovic, I. Kokkinos, "Attentive single-tasking of multiple tasks", CVPR 2019.
"""

from collections.abc import Sequence

import numpy as np

from icm_jax.errors import IcmError


def delta_m(multi: Sequence[float], single: Sequence[float], lower_is_better: Sequence[bool]) -> float:
    """Mean relative gain over tasks as a fraction: 0.25 is a quarter better.

    Values may also be BD accuracies, which are better when higher for every task.

    Raises:
        IcmError: lengths differ, there is no task, or a single-task value is not positive.
    """
    if not len(multi) == len(single) == len(lower_is_better) > 0:
        raise IcmError(
            f"{len(multi)} multi-task values, {len(single)} single-task values and {len(lower_is_better)} "
            "directions do not match; give one of each a task, and at least one task"
        )
    wrong = [value for value in single if not value > 0]
    if wrong:
        raise IcmError(
            f"single-task value {wrong[0]:g} is no base for a relative gain, the limit is above 0; "
            "leave the task out or report it apart"
        )
    gains = (np.asarray(multi, np.float64) - np.asarray(single, np.float64)) / np.asarray(single, np.float64)
    return float(np.where(np.asarray(lower_is_better, bool), -gains, gains).mean())
