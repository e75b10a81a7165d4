"""A task with its network and labels: what it counts of one image, against the labels and against the original.

decoded picture ──network──► answer ──┬── label                              "label"
original picture ─network──► answer ──┴── as label: agreement, needs none    "own"
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.evaluate.records import CountersByTruth
from icm_jax.evaluate.subjects import PICTURES
from icm_jax.metrics.metric import AGREEMENT, Metric
from icm_jax.recognizers.mtlora import of_tasks
from icm_jax.recognizers.registry import find_weights, load_recognizer
from icm_jax.tasks.dense_answers import dense_answers
from icm_jax.tasks.registry import get_task
from icm_jax.tasks.task import Labels, Picture, Task


@dataclass(frozen=True)
class Judge:
    """Counts and scores one task.

    Attributes:
        answers: the network's answers to pictures of one size; None where only predictions can be judged, which
            codecs of the task's features decode to.
        labels: None counts agreement only.
        network: name of the network, and SHA-256 of its weights; both "" without one.
    """

    task: Task
    answers: Callable[[Sequence[Picture]], list[Any]] | None
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
        return (*labelled, *([self.task.agreement_metric.agreement] if self._has_agreement else []))

    def label(self, image: Path, size: tuple[int, int]) -> Any:
        """The label of an image, or None without labels."""
        return self.labels.of(image, size) if self.labels is not None else None

    def count(
        self, image: Path, original: Picture, decoded: Sequence[np.ndarray], label: Any
    ) -> tuple[CountersByTruth | None, list[CountersByTruth]]:
        """Counters of the original, where there is a network, and of all that was decoded from it.

        Args:
            decoded: pictures (uint8), or predictions of the task [h, w, c] (float32).

        Raises:
            IcmError: what the judge can not judge, or a count that fails; the error names the image.
        """
        pictures = [one for one in decoded if one.dtype == np.uint8]
        if self.answers is None and pictures:
            raise IcmError(
                f"{self.task.name} is answered by no network that is included, and codecs of pictures need one; "
                "evaluate codecs of its features, or build a Judge in Python"
            )
        seen = self._seen(image, [original, *pictures])
        own = seen.pop(0) if seen else None
        answers = [seen.pop(0) if one.dtype == np.uint8 else self._read(image, one) for one in decoded]
        truths = {"label": label}
        if self._has_agreement and self.task.as_label:
            truths["own"] = self.task.as_label(own)
        counted = [self._counters(image, answer, truths) for answer in answers]
        return (self._counters(image, own, truths) if self.answers else None), counted

    def _seen(self, image: Path, pictures: Sequence[Picture]) -> list[Any]:
        answers = self.answers(pictures) if self.answers else []
        if any(isinstance(a, np.ndarray) and a.dtype.kind == "f" and np.isnan(a).any() for a in answers):
            raise IcmError(
                f"{image}: the network {self.network['name']} answers with NaN, expected finite numbers; "
                "check its weights, or take the image out"
            )
        return answers

    def _read(self, image: Path, prediction: np.ndarray) -> Any:
        if self.task.read_output is None:
            raise IcmError(
                f"{image}: {self.task.name} is judged by pictures, the codec decodes to predictions"
            )
        return self.task.read_output(prediction)

    def _counters(self, image: Path, answer: Any, truths: Mapping[str, Any]) -> CountersByTruth:
        try:
            return {
                name: self.task.count(answer, truth) for name, truth in truths.items() if truth is not None
            }
        except IcmError as error:
            raise IcmError(f"{image}: {error}") from None

    @property
    def _has_agreement(self) -> bool:
        return self.answers is not None and self.task.as_label is not None

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
        recognizer: name of a network, the task's first by default, or "mtlora" for any task of every pixel that its
            file has. A task without any judges predictions.
        weights: the network's file or the folder that holds it; see `recognizers.registry.load_recognizer`.
        labels: file or folder of the task's kind; "" counts agreement only.

    Raises:
        IcmError: an unknown task or network, one that does not answer the task, or a missing file.
    """
    chosen = get_task(task)
    if recognizer == "mtlora":
        return _of_several(chosen, weights, labels)
    name = recognizer or next(iter(chosen.recognizers), "")
    if name not in chosen.recognizers and (name or not labels):
        known = ", ".join(chosen.recognizers) or "none is included; build a Judge in Python"
        raise IcmError(f"{task} is not answered by network {name!r}; networks that do: {known}")
    if not labels and chosen.as_label is None:
        raise IcmError(f"{task} counts against labels only; name their file or folder with --labels")
    found = chosen.open_labels(Path(labels)) if labels else None
    if not name:
        return Judge(chosen, None, found, {"name": "", "weights_sha256": ""})
    file = find_weights(name, weights or None)
    answers = functools.partial(chosen.answers, load_recognizer(name, file))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Judge(chosen, answers, found, {"name": name, "weights_sha256": digest})


def _of_several(task: Task, weights: str, labels: str) -> Judge:
    """One of the tasks that an MTLoRA answers."""
    if task.read_output is None:
        raise IcmError(
            f"{task.name} is no task of every pixel, which alone MTLoRA answers; take another network"
        )
    file = find_weights("mtlora", weights or None)
    name = PICTURES.get(task.name, task.name)
    network = dataclasses.replace(of_tasks(load_recognizer("mtlora", file), (name,)), output=name)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    answers = functools.partial(dense_answers(task.read_output), network)
    found = task.open_labels(Path(labels)) if labels else None
    return Judge(task, answers, found, {"name": f"mtlora#{name}", "weights_sha256": digest})


def label_digest(label: Any) -> str:
    """SHA-256 of a label, "" for none."""
    if label is None:
        return ""
    if isinstance(label, np.ndarray):
        data = f"{label.dtype}{label.shape}".encode() + label.tobytes()
    else:
        data = json.dumps(label, sort_keys=True, default=np.ndarray.tolist).encode()
    return hashlib.sha256(data).hexdigest()
