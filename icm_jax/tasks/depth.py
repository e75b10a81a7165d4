"""Depth in metres. Labels are `.npy` arrays of the size of their images; 0 is where nothing was measured."""

from pathlib import Path

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.metrics import Depth
from icm_jax.metrics.metric import Metric
from icm_jax.tasks.dense_answers import dense_answers
from icm_jax.tasks.labels import LabelFolder, read_array
from icm_jax.tasks.task import Counters, Labels, Task


def _read_label(file: Path) -> np.ndarray:
    label = read_array(file).astype(np.float32).squeeze()
    if label.ndim != 2 or not np.isfinite(label).all() or label.min() < 0:
        raise IcmError(
            f"label of shape {list(label.shape)} has to be finite metres [h, w] from 0; 0 for what is not known"
        )
    return label


def _empty() -> Counters:
    return {"depth": Depth.empty()}


def _count(answer: np.ndarray, label: np.ndarray) -> Counters:
    return {"depth": Depth.empty().update(answer[None], label[None])}


def _scores(counters: Counters, labels: Labels | None) -> dict[str, float]:
    score = counters["depth"].compute()
    return {"rmse": score.rmse, "abs_rel": score.abs_rel}


TASK = Task(
    name="depth",
    recognizers=(),
    metrics=(
        Metric("rmse", "RMSE (m)", lower_is_better=True, low=0),
        Metric("abs_rel", "absolute relative error", lower_is_better=True, low=0),
    ),
    answers=dense_answers(lambda plane: plane[..., 0]),
    open_labels=lambda folder: LabelFolder(folder, (".npy",), _read_label),
    empty=_empty,
    count=_count,
    scores=_scores,
    as_label=lambda answer: np.maximum(answer, 0),
    read_output=lambda plane: plane[..., 0],
)
