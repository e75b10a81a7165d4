"""Object boundaries. Labels are maps of thin lines, `.npy` or PNG, not 0 on a boundary.

Matching takes a second or two a picture: it solves an assignment at each of 99 thresholds
(`benchmarks/boundary.py`). What differs between data sets is how far a match may lie.
"""

from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import expit

from icm_jax.errors import IcmError
from icm_jax.metrics import Boundary
from icm_jax.metrics.boundary import MAX_DISTANCE_NYUD, MAX_DISTANCE_PASCAL
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


def _empty(max_distance: float) -> Counters:
    return {"boundary": Boundary.empty(max_distance)}


def _count(max_distance: float, answer: np.ndarray, label: np.ndarray) -> Counters:
    return {"boundary": Boundary.empty(max_distance).update(answer[None], label[None])}


def _scores(counters: Counters, labels: Labels | None) -> dict[str, float]:
    score = counters["boundary"].compute()
    return {"ods_f": 100 * score.ods_f, "ois_f": 100 * score.ois_f}


def boundary_task(name: str, max_distance: float) -> Task:
    """The task, with matches up to this share of the image's diagonal."""
    return Task(
        name=name,
        recognizers=(),
        metrics=(
            Metric("ods_f", "odsF (%)", low=0, high=100),
            Metric("ois_f", "oisF (%)", low=0, high=100),
        ),
        answers=dense_answers(_probability),
        open_labels=lambda folder: LabelFolder(folder, (".npy", ".png"), _read_label),
        empty=partial(_empty, max_distance),
        count=partial(_count, max_distance),
        scores=_scores,
        read_output=_probability,
    )


TASK = boundary_task("boundary", MAX_DISTANCE_PASCAL)
TASK_NYUD = boundary_task("boundary-nyud", MAX_DISTANCE_NYUD)
