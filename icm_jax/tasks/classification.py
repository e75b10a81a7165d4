"""Classification: is the decoded picture still seen as its class, and as what the original was seen as?"""

import numpy as np

from icm_jax.metrics import CrossEntropy, TopK
from icm_jax.metrics.metric import Metric
from icm_jax.tasks.answers import network_outputs
from icm_jax.tasks.labels import ClassTable
from icm_jax.tasks.task import Counters, Labels, Task


def _empty() -> Counters:
    return {"top_k": TopK.empty(), "cross_entropy": CrossEntropy.empty()}


def _count(logits: np.ndarray, label: int) -> Counters:
    rows, labels = logits[None], np.array([label])
    return {
        "top_k": TopK.empty().update(rows, labels),
        "cross_entropy": CrossEntropy.empty().update(rows, labels),
    }


def _scores(counters: Counters, labels: Labels | None) -> dict[str, float]:
    top_k = counters["top_k"].compute()
    nats = counters["cross_entropy"].compute().nats
    return {"top1": top_k.top1, "top5": top_k.top5, "cross_entropy": nats}


TASK = Task(
    name="classification",
    recognizers=("mobilenet-v2", "resnet50", "resnet50-v2"),
    metrics=(
        Metric("top1", "top-1 (%)", low=0, high=100),
        Metric("top5", "top-5 (%)", low=0, high=100),
        Metric("cross_entropy", "cross-entropy (nats)", lower_is_better=True, low=0),
    ),
    answers=network_outputs,
    open_labels=ClassTable,
    empty=_empty,
    count=_count,
    scores=_scores,
    as_label=lambda logits: int(np.argmax(logits)),
)
