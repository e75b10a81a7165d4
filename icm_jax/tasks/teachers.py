"""Tasks of photos without labels: what a frozen network says of the uncompressed photo is its own label.

x ─────► network ─► wanted          loss: how far the network's answer to the decoded picture is from that
x_hat ─► network ─► seen
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.u2netp import saliency_map
from icm_jax.tasks import losses

Outputs = Mapping[str, Array]
TeacherLoss = Callable[[Recognizer, Outputs, Outputs], Float[Array, ""]]


class TeacherTask(NamedTuple):
    """One task; `loss` takes the network, its outputs for decoded pictures and those for the photos."""

    network: str
    weight: float
    loss: TeacherLoss


def same_classes(network: Recognizer, seen: Outputs, wanted: Outputs) -> Float[Array, ""]:
    """Cross-entropy against the class that the network gives every pixel of the photo."""
    return losses.cross_entropy(seen[network.output], wanted[network.output].argmax(-1))


def same_saliency(network: Recognizer, seen: Outputs, wanted: Outputs) -> Float[Array, ""]:
    """Balanced cross-entropy against what is salient in the photo, as the network's authors threshold it."""
    salient = saliency_map(wanted[network.output]) > 0.5
    return losses.balanced_binary_cross_entropy(seen[network.output][..., 0], salient.astype(jnp.float32))


def same_answer(network: Recognizer, seen: Outputs, wanted: Outputs) -> Float[Array, ""]:
    """Cross-entropy against the probabilities that the network gives the photo's classes."""
    probabilities = jax.nn.softmax(wanted[network.output])
    return -(probabilities * jax.nn.log_softmax(seen[network.output])).sum(-1).mean()


def same_features(network: Recognizer, seen: Outputs, wanted: Outputs) -> Float[Array, ""]:
    """Mean over taps of the mean squared difference; of a detector's pyramid, AdaptICMH's loss."""
    return jnp.stack([jnp.mean((seen[tap] - wanted[tap]) ** 2) for tap in network.taps]).mean()


# Weights of dense tasks as with labels; see `tasks.mti_net`.
TEACHER_TASKS: dict[str, TeacherTask] = {
    "semseg": TeacherTask("espnet-v2", 1.0, same_classes),
    "sal": TeacherTask("u2netp", 5.0, same_saliency),
    "classification": TeacherTask("mobilenet-v2", 1.0, same_answer),
    "features": TeacherTask("mobilenet-v2", 1.0, same_features),
    "detection": TeacherTask("faster-rcnn", 1.0, same_features),
    "instances": TeacherTask("mask-rcnn", 1.0, same_features),
}


def teacher_task(name: str) -> TeacherTask:
    """The task of this name; raises IcmError with those there are."""
    if name not in TEACHER_TASKS:
        raise IcmError(f"no network teaches task {name!r}; choose of {', '.join(TEACHER_TASKS)}")
    return TEACHER_TASKS[name]
