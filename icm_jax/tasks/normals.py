"""Surface normals. Labels are `.npy` arrays [h, w, 3], or PNG with n = 2v/255 − 1; zero vectors count nowhere."""

from pathlib import Path

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.metrics import Normals
from icm_jax.metrics.meter import IGNORE
from icm_jax.metrics.metric import Metric
from icm_jax.tasks.dense_answers import dense_answers
from icm_jax.tasks.labels import LabelFolder, read_array, read_png
from icm_jax.tasks.task import Counters, Labels, Task

SHORTEST = 0.5  # PNG can not hold a zero vector exactly: its nearest value has a length of 0.007


def _read_label(file: Path) -> np.ndarray:
    label = read_array(file) if file.suffix == ".npy" else 2 * read_png(file).astype(np.float64) / 255 - 1
    if label.ndim != 3 or label.shape[-1] != 3 or not np.isfinite(label).all():
        raise IcmError(f"label of shape {list(label.shape)} has to be finite vectors [h, w, 3]; convert it")
    return unit_or_ignored(label)


def unit_or_ignored(vectors: np.ndarray) -> np.ndarray:
    """Vectors of unit length, 255 in all entries where there is none."""
    length = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    is_vector = length > SHORTEST
    return np.where(is_vector, vectors / np.where(is_vector, length, 1), IGNORE)


def _empty() -> Counters:
    return {"normals": Normals.empty()}


def _count(answer: np.ndarray, label: np.ndarray) -> Counters:
    return {"normals": Normals.empty().update(answer[None], label[None])}


def _scores(counters: Counters, labels: Labels | None) -> dict[str, float]:
    score = counters["normals"].compute()
    return {"mean": score.mean, "true_rmse": score.true_rmse, "share_11_25": score.share_11_25}


def _as_label(answer: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(answer.astype(np.float64), axis=-1, keepdims=True)
    return np.where(length > 0, answer / np.where(length > 0, length, 1), IGNORE)


TASK = Task(
    name="normals",
    recognizers=(),
    metrics=(
        Metric("mean", "mean angle (°)", lower_is_better=True, low=0, high=180),
        Metric("true_rmse", "RMS angle (°)", lower_is_better=True, low=0, high=180),
        Metric("share_11_25", "below 11.25° (%)", low=0, high=100),
    ),
    answers=dense_answers(lambda plane: plane),
    open_labels=lambda folder: LabelFolder(folder, (".npy", ".png"), _read_label),
    empty=_empty,
    count=_count,
    scores=_scores,
    as_label=_as_label,
    read_output=lambda plane: plane,
)
