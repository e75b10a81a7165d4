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
from typing import Any, TypeGuard

import numpy as np

from icm_jax.errors import IcmError
from icm_jax.evaluate.records import CountersByTruth
from icm_jax.evaluate.subjects import PICTURES
from icm_jax.metrics.metric import AGREEMENT, Metric
from icm_jax.pretrained.dora_icm import BACKBONE_FILE, read_backbone
from icm_jax.pretrained.task_network import read_network
from icm_jax.recognizers.mtlora import of_tasks
from icm_jax.recognizers.registry import find_weights, load_recognizer
from icm_jax.task_network import TaskNetwork
from icm_jax.tasks.dense_answers import dense_answers
from icm_jax.tasks.registry import get_task
from icm_jax.tasks.task import Features, Labels, Picture, Size, Task


@dataclass(frozen=True)
class Judge:
    """Counts and scores one task.

    Attributes:
        answers: the network's answers to pictures of one size; None where only predictions can be judged, which
            codecs of the task's features decode to.
        labels: None counts agreement only.
        network: name of the network, and SHA-256 of its weights; both "" without one.
        continued: the network's answer to features, given the sizes of their picture and of the photo, where it can go
            on from some.
        published: its answers to pictures that were resized before they were coded, in pixels of a photo of the given
            size; used in place of `answers`.
    """

    task: Task
    answers: Callable[[Sequence[Picture]], list[Any]] | None
    labels: Labels | None
    network: Mapping[str, str]
    continued: Callable[[Features, Size, Size], Any] | None = None
    published: Callable[[Sequence[Picture], Size], list[Any]] | None = None

    @property
    def identity(self) -> str:
        """What a count depends on beside image and label."""
        return f"{self.task.name} {self.network['name']} {self.network['weights_sha256'][:16]}"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What can be reported: all against the labels where there are any, then agreement."""
        labelled = self.task.metrics if self.labels is not None else ()
        agreement = [metric.agreement for metric in self.task.agreement_metrics if self._has_agreement]
        return (*labelled, *agreement)

    def label(self, image: Path, size: tuple[int, int]) -> Any:
        """The label of an image, or None without labels."""
        return self.labels.of(image, size) if self.labels is not None else None

    def count(
        self,
        image: Path,
        original: Picture,
        decoded: Sequence[np.ndarray | Features],
        label: Any,
        photo: Size | None = None,
    ) -> tuple[CountersByTruth | None, list[CountersByTruth]]:
        """Counters of the original, where there is a network, and of all that was decoded from it.

        Args:
            decoded: pictures (uint8), features that the network goes on from, or predictions of the task
                [h, w, c] (float32).
            photo: size of the photo, where the original was resized before it was coded.

        Raises:
            IcmError: what the judge can not judge, or a count that fails; the error names the image.
        """
        own, *answers = self.see(image, original, decoded, photo)
        truths = {"label": label}
        if self._has_agreement and self.task.as_label:
            truths["own"] = self.task.as_label(own)
        counted = [self._counters(image, answer, truths) for answer in answers]
        return (self._counters(image, own, truths) if self.answers else None), counted

    def see(
        self,
        image: Path,
        original: Picture,
        decoded: Sequence[np.ndarray | Features],
        photo: Size | None = None,
    ) -> list[Any]:
        """The answers to the original (None without a network) and to all that was decoded; as `count`."""
        pictures = [one for one in decoded if _is_picture(one)]
        if self.answers is None and pictures:
            raise IcmError(
                f"{self.task.name} is answered by no network that is included, and codecs of pictures need one; "
                "evaluate codecs of its features, or build a Judge in Python"
            )
        size = (original.shape[0], original.shape[1])
        photo = photo or size
        seen = self._seen(image, [original, *pictures], photo)
        own = seen.pop(0) if seen else None
        return [own] + [
            seen.pop(0) if _is_picture(one) else self._read(image, one, size, photo) for one in decoded
        ]

    def _seen(self, image: Path, pictures: Sequence[Picture], photo: Size) -> list[Any]:
        if self.published is not None:
            answers = self.published(pictures, photo)
        else:
            answers = self.answers(pictures) if self.answers else []
        if any(isinstance(a, np.ndarray) and a.dtype.kind == "f" and np.isnan(a).any() for a in answers):
            raise IcmError(
                f"{image}: the network {self.network['name']} answers with NaN, expected finite numbers; "
                "check its weights, or take the image out"
            )
        return answers

    def _read(self, image: Path, decoded: np.ndarray | Features, size: Size, photo: Size) -> Any:
        try:
            if isinstance(decoded, Features) and self.continued is not None:
                return self.continued(decoded, size, photo)
            if isinstance(decoded, np.ndarray) and self.task.read_output is not None:
                return self.task.read_output(decoded)
        except IcmError as error:
            raise IcmError(f"{image}: {error}") from None
        kind = "features" if isinstance(decoded, Features) else "predictions"
        raise IcmError(f"{image}: {self.task.name} is judged by pictures, the codec decodes to {kind}")

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
            agreed = self.task.scores(counters["own"], None)
            scores |= {metric.name + AGREEMENT: agreed[metric.name] for metric in self.task.agreement_metrics}
        return scores

    def empty(self) -> CountersByTruth:
        """Counters of no image: the shape that recorded ones are read into."""
        return {"label": self.task.empty(), "own": self.task.empty()}


def load_judge(
    task: str, recognizer: str = "", weights: str = "", labels: str | None = "", published: bool = False
) -> Judge:
    """A judge by names and paths.

    Args:
        recognizer: name of a network, the task's first by default, or "mtlora" for any task of every pixel that its
            file has, or the file of a network of DoRA-ICM (`icm_jax.task_network`). A task without any judges
            predictions.
        weights: the network's file or the folder that holds it; see `recognizers.registry.load_recognizer`. Of a
            network of DoRA-ICM its backbone, by default the one beside it.
        labels: file or folder of the task's kind; "" counts agreement only, None nothing.
        published: pictures will have been resized before they are coded; see `icm_jax.evaluate.protocol`.

    Raises:
        IcmError: an unknown task or network, one that does not answer the task, or a missing file.
    """
    chosen = get_task(task)
    if recognizer == "mtlora":
        return _of_several(chosen, weights, labels)
    if recognizer.endswith(".safetensors"):
        return _trained_here(chosen, Path(recognizer), weights, labels)
    name = recognizer or next(iter(chosen.recognizers), "")
    if name not in chosen.recognizers and (name or not labels):
        known = ", ".join(chosen.recognizers) or "none is included; build a Judge in Python"
        raise IcmError(f"{task} is not answered by network {name!r}; networks that do: {known}")
    if labels == "" and chosen.as_label is None:
        raise IcmError(f"{task} counts against labels only; name their file or folder with --labels")
    found = chosen.open_labels(Path(labels)) if labels else None
    if not name:
        return Judge(chosen, None, found, {"name": "", "weights_sha256": ""})
    file = find_weights(name, weights or None)
    network = load_recognizer(name, file)
    answers = functools.partial(chosen.answers, network)
    continued = functools.partial(chosen.continued, network) if chosen.continued else None
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    as_published = (
        functools.partial(chosen.published.answers, network) if published and chosen.published else None
    )
    facts = {"name": name, "weights_sha256": digest}
    return Judge(chosen, answers, found, facts, continued, as_published)


def _is_picture(decoded: np.ndarray | Features) -> TypeGuard[np.ndarray]:
    return isinstance(decoded, np.ndarray) and decoded.dtype == np.uint8


def _of_several(task: Task, weights: str, labels: str | None) -> Judge:
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


def _trained_here(task: Task, file: Path, weights: str, labels: str | None) -> Judge:
    stored = read_network(file)
    read_output = task.read_output
    if read_output is None or stored.task != PICTURES.get(task.name, task.name):
        raise IcmError(f"{file} predicts {stored.task!r}, not {task.name}; give a network of the task")
    network = TaskNetwork(stored, read_backbone(Path(weights or file.with_name(BACKBONE_FILE))))
    found = task.open_labels(Path(labels)) if labels else None

    def answers(pictures: Sequence[Picture]) -> list[Any]:
        return [read_output(network.predict(picture)) for picture in pictures]

    return Judge(task, answers, found, {"name": stored.name, "weights_sha256": stored.digest})


def label_digest(label: Any) -> str:
    """SHA-256 of a label, "" for none."""
    if label is None:
        return ""
    if isinstance(label, np.ndarray):
        data = f"{label.dtype}{label.shape}".encode() + label.tobytes()
    else:
        data = json.dumps(label, sort_keys=True, default=np.ndarray.tolist).encode()
    return hashlib.sha256(data).hexdigest()
