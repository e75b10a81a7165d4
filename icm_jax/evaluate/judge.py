"""A task with its network and labels: what it counts of one image, against the labels and against the original.

decoded picture ──network──► answer ──┬── label                              "label"
original picture ─network──► answer ──┴── as label: agreement, needs none    "own"
"""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.metrics.metric import AGREEMENT, Metric
from icm_jax.recognizers.registry import find_weights, load_recognizer
from icm_jax.tasks.registry import get_task
from icm_jax.tasks.task import Counters, Labels, Picture, Task

CountersByTruth = dict[str, Counters]  # "label" and "own"


@dataclass(frozen=True)
class Judge:
    """Counts and scores one task.

    Attributes:
        answers: the network's answers to pictures of one size.
        labels: None counts agreement only.
        network: name of the network, and SHA-256 of its weights.
    """

    task: Task
    answers: Callable[[Sequence[Picture]], list[Any]]
    labels: Labels | None
    network: Mapping[str, str]

    @property
    def identity(self) -> str:
        """What a count depends on beside image and label."""
        return f"{self.task.name} {self.network['name']} {self.network['weights_sha256'][:16]}"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What can be reported: all against the labels where there are any, then agreement by one."""
        labelled = self.task.metrics if self.labels is not None else ()
        return (*labelled, *([self.task.agreement_metric.agreement] if self.task.as_label else []))

    def label(self, image: Path, size: tuple[int, int]) -> Any:
        """The label of an image, or None without labels."""
        return self.labels.of(image, size) if self.labels is not None else None

    def count(self, image: Path, pictures: Sequence[Picture], label: Any) -> list[CountersByTruth]:
        """Counters of each picture; the first is the original. Errors name the image."""
        answers = self.answers(pictures)
        if any(isinstance(a, np.ndarray) and a.dtype.kind == "f" and np.isnan(a).any() for a in answers):
            raise IcmError(
                f"{image}: the network {self.network['name']} answers with NaN, expected finite numbers; "
                "check its weights, or take the image out"
            )
        truths = {"label": label, "own": self.task.as_label(answers[0]) if self.task.as_label else None}
        try:
            return [
                {name: self.task.count(answer, truth) for name, truth in truths.items() if truth is not None}
                for answer in answers
            ]
        except IcmError as error:
            raise IcmError(f"{image}: {error}") from None

    def scores(self, counters: CountersByTruth) -> dict[str, float]:
        """Numbers by name of metric."""
        scores = self.task.scores(counters["label"], self.labels) if "label" in counters else {}
        if "own" in counters:
            name = self.task.agreement_metric.name
            scores[name + AGREEMENT] = self.task.scores(counters["own"], None)[name]
        return scores

    def empty(self) -> CountersByTruth:
        """Counters of no image: the shape that recorded ones are read into."""
        return {"label": self.task.empty(), "own": self.task.empty()}


def load_judge(task: str, recognizer: str = "", weights: str = "", labels: str = "") -> Judge:
    """A judge by names and paths.

    Args:
        recognizer: name of a network, the task's first by default.
        weights: the network's file or the folder that holds it; see `recognizers.registry.load_recognizer`.
        labels: file or folder of the task's kind; "" counts agreement only.

    Raises:
        IcmError: an unknown task or network, one that does not answer the task, or a missing file.
    """
    chosen = get_task(task)
    name = recognizer or next(iter(chosen.recognizers), "")
    if name not in chosen.recognizers:
        known = ", ".join(chosen.recognizers) or "none is included; build a Judge in Python"
        raise IcmError(f"{task} is not answered by network {name!r}; networks that do: {known}")
    if not labels and chosen.as_label is None:
        raise IcmError(f"{task} counts against labels only; name their file or folder with --labels")
    file = find_weights(name, weights or None)
    answers = functools.partial(chosen.answers, load_recognizer(name, file))
    found = chosen.open_labels(Path(labels)) if labels else None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Judge(chosen, answers, found, {"name": name, "weights_sha256": digest})


def label_digest(label: Any) -> str:
    """SHA-256 of a label, "" for none."""
    if label is None:
        return ""
    if isinstance(label, np.ndarray):
        data = f"{label.dtype}{label.shape}".encode() + label.tobytes()
    else:
        data = json.dumps(label, sort_keys=True, default=np.ndarray.tolist).encode()
    return hashlib.sha256(data).hexdigest()
