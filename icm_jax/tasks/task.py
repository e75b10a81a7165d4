"""What a task asks of a decoded image, as data: the network's answer, the labels, what is counted, what is reported.

    picture ──answers──► answer ──count──► counters of one image ──merge──► ──scores──► numbers
                          label ───┘

Everything but the network runs in NumPy on one image at a time, so that an image's counters do not depend on what
else is measured, on how many processes measure it, or on when.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from icm_jax.metrics.metric import Metric
from icm_jax.recognizers.preprocessing import Resize
from icm_jax.recognizers.recognizer import Recognizer

Picture = UInt8[np.ndarray, "h w 3"]
Counters = Mapping[str, Any]  # by name: frozen counters of icm_jax.metrics
Answers = Callable[[Recognizer, Sequence[Picture]], list[Any]]


class Features(NamedTuple):
    """What a codec decoded in place of a picture: the map of one of the network's taps."""

    tap: str
    map: Float[np.ndarray, "h w c"]


Size = tuple[int, int]  # (height, width)


class Published(NamedTuple):
    """How the papers test a task: photos are resized before they are coded, and networks take what is decoded.

    Attributes:
        prepare: photo -> what is coded.
        answers: (network, pictures as decoded, size of the photo they were made of) -> answers in the photo's pixels.
    """

    prepare: Resize
    answers: Callable[[Recognizer, Sequence[Picture], Size], list[Any]]


class Labels(Protocol):
    """The labels of a data set, found by image file."""

    def check(self, images: Sequence[Path]) -> None:
        """Raises IcmError for the first image that has no label, before anything is measured."""
        ...

    def of(self, image: Path, size: Size) -> Any:
        """The label of an image of `size` = (height, width); raises IcmError when it does not fit."""
        ...


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: key in `icm_jax.tasks.registry.TASKS`.
        recognizers: names of the networks that answer it; the first is the default.
        metrics: what is reported; the first is the one that curves are compared by.
        answers: the network's answers to pictures of one size.
        open_labels: labels from a file or folder.
        empty: counters of no image.
        count: counters of one image, from answer and label.
        scores: numbers from counters, by name of metric. The labels are given for metrics that need all of them.
        as_label: an answer as the label of another answer, which then counts agreement; None where it can not be.
        agreement: names of the metrics that agreement is reported by; () for the first.
        continued: (network, decoded features, size of their picture, size of the photo) -> the answer of the network
            when it goes on from the features, in the photo's pixels; None where it can not.
        published: how the papers test it, where that differs from coding the photo as it is.
        read_output: the answer in a prediction [h, w, c] of a codec that codes the task's features instead of a
            picture; None where no codec does.
    """

    name: str
    recognizers: tuple[str, ...]
    metrics: tuple[Metric, ...]
    answers: Answers
    open_labels: Callable[[Path], Labels]
    empty: Callable[[], Counters]
    count: Callable[[Any, Any], Counters]
    scores: Callable[[Counters, Labels | None], dict[str, float]]
    as_label: Callable[[Any], Any] | None = None
    agreement: tuple[str, ...] = ()
    continued: Callable[[Recognizer, Features, Size, Size], Any] | None = None
    published: Published | None = None
    read_output: Callable[[np.ndarray], Any] | None = None

    @property
    def agreement_metrics(self) -> tuple[Metric, ...]:
        """What agreement is reported by."""
        names = self.agreement or (self.metrics[0].name,)
        return tuple(metric for metric in self.metrics if metric.name in names)


def merged(shares: Sequence[Counters]) -> Counters:
    """Counters of the set from those of its images, in the order given: sums of floats depend on it."""
    first, *others = shares
    total = dict(first)
    for share in others:
        total = {name: counter.merge(share[name]) for name, counter in total.items()}
    return total
