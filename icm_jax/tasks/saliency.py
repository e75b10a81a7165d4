"""Saliency: does the same thing still stand out?

Labels are 8-bit maps of the size of their images: salient above half of 255.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from icm_jax.errors import IcmError
from icm_jax.metrics import Saliency
from icm_jax.metrics.metric import Metric
from icm_jax.recognizers.u2netp import saliency_map
from icm_jax.tasks.dense_answers import dense_answers
from icm_jax.tasks.labels import LabelFolder, read_png
from icm_jax.tasks.task import Counters, Labels, Task


def _stretched(logits: np.ndarray) -> np.ndarray:
    """U²-Net's rule: probabilities stretched over 0 to 1, before they are resized."""
    return np.asarray(saliency_map(jnp.asarray(logits)[None])[0])[..., None]


def _read_output(logits: np.ndarray) -> np.ndarray:
    """Probability of being salient, from one logit, or from two of a softmax: background and salient."""
    return expit(logits[..., -1] - logits[..., 0] if logits.shape[-1] == 2 else logits[..., 0])


def _read_label(file: Path) -> np.ndarray:
    label = read_png(file)
    if label.ndim != 2:
        raise IcmError("label is in colour, expected grey values, salient above 127; convert it")
    return (label > 127).astype(np.uint8)


def _empty() -> Counters:
    return {"saliency": Saliency.empty()}


def _count(answer: np.ndarray, label: np.ndarray) -> Counters:
    return {"saliency": Saliency.empty().update(answer[None], label[None])}


def _scores(counters: Counters, labels: Labels | None) -> dict[str, float]:
    score = counters["saliency"].compute()
    return {
        "miou": 100 * score.miou,
        "max_f_beta03": 100 * score.max_f_beta03,
        "max_f_beta1": 100 * score.max_f_beta1,
        "max_f_beta03_double_sigmoid": 100 * score.max_f_beta03_double_sigmoid,
    }


TASK = Task(
    name="saliency",
    recognizers=("u2netp",),
    metrics=(
        Metric("miou", "mIoU (%)", low=0, high=100),
        Metric("max_f_beta03", "maxF, β² = 0.3 (%)", low=0, high=100),
        Metric("max_f_beta1", "maxF, β = 1 (%)", low=0, high=100),
        Metric("max_f_beta03_double_sigmoid", "maxF as InvPT counts it (%)", low=0, high=100),
    ),
    answers=dense_answers(lambda plane: np.clip(plane[..., 0], 0, 1), _stretched),
    open_labels=lambda folder: LabelFolder(folder, (".png",), _read_label),
    empty=_empty,
    count=_count,
    scores=_scores,
    as_label=lambda answer: (answer > 0.5).astype(np.uint8),
    read_output=_read_output,
)
