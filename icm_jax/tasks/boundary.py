"""Object boundaries. Labels are maps of thin lines, `.npy` or PNG, not 0 on a boundary.

Matching takes seconds a picture: it solves an assignment at each of 99 thresholds.
"""

from pathlib import Path

import numpy as np
from scipy.special import expit

from icm_jax.errors import IcmError
from icm_jax.metrics import Boundary
from icm_jax.metrics.metric import Metric
from icm_jax.tasks.dense_answers import dense_answers
from icm_jax.tasks.labels import LabelFolder, read_array, read_png
from icm_jax.tasks.task import Counters, Labels, Task


def _read_label(file: Path) -> np.ndarray:
    label = (read_array(file) if file.suffix == ".npy" else read_png(file)).squeeze()
    if label.ndim != 2:
        raise IcmError(
            f"label of shape {list(label.shape)} has to be one map [h, w] of boundaries; convert it"
        )
    return (label != 0).astype(np.uint8)


def _probability(logits: np.ndarray) -> np.ndarray:
    return expit(logits[..., 0])


def _empty() -> Counters:
    return {"boundary": Boundary.empty()}


def _count(answer: np.ndarray, label: np.ndarray) -> Counters:
    return {"boundary": Boundary.empty().update(answer[None], label[None])}


def _scores(counters: Counters, labels: Labels | None) -> dict[str, float]:
    score = counters["boundary"].compute()
    return {"ods_f": 100 * score.ods_f, "ois_f": 100 * score.ois_f}


TASK = Task(
    name="boundary",
    recognizers=(),
    metrics=(
        Metric("ods_f", "odsF (%)", low=0, high=100),
        Metric("ois_f", "oisF (%)", low=0, high=100),
    ),
    answers=dense_answers(_probability),
    open_labels=lambda folder: LabelFolder(folder, (".npy", ".png"), _read_label),
    empty=_empty,
    count=_count,
    scores=_scores,
    read_output=_probability,
)
