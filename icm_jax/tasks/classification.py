"""Classification: is the decoded picture still seen as its class, and as what the original was seen as?"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.metrics import CrossEntropy, TopK
from icm_jax.metrics.metric import Metric
from icm_jax.recognizers.preprocessing import ShortSideCrop, keep_size
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.tasks.answers import network_outputs
from icm_jax.tasks.labels import ClassTable
from icm_jax.tasks.task import Counters, Features, Labels, Picture, Published, Size, Task


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


def _continued(recognizer: Recognizer, features: Features, picture: Size, photo: Size) -> np.ndarray:
    """Logits from features of a whole picture, whose short side is what the network was scored at."""
    resize = recognizer.preprocessing.resize
    if isinstance(resize, ShortSideCrop) and min(picture) != resize.short:
        raise IcmError(
            f"features of a picture of {picture[1]}×{picture[0]}, {recognizer.name} wants a short side of "
            f"{resize.short}; take --protocol published, or resize the pictures"
        )
    return np.asarray(_logits(recognizer, features.tap, features.map[None])[0])


def _published_answers(recognizer: Recognizer, pictures: Sequence[Picture], photo: Size) -> list[np.ndarray]:
    """Logits of whole pictures of 256×256, without the crop that the network was scored at."""
    whole = replace(recognizer.preprocessing, resize=keep_size)
    return network_outputs(replace(recognizer, preprocessing=whole), pictures)


@partial(jax.jit, static_argnums=1)
def _logits(recognizer: Recognizer, tap: str, maps: Float[Array, "b h w c"]) -> Float[Array, "b classes"]:
    return recognizer.continued(tap, maps)[recognizer.output]


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
    continued=_continued,
    published=Published(ShortSideCrop(256, 256), _published_answers),
)
