"""Answers of a network to pictures: batches of one fixed size, so that one program serves any number of pictures."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import UInt8

from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.tasks.task import Picture

BATCH = 8


def network_outputs(recognizer: Recognizer, pictures: Sequence[Picture]) -> list[np.ndarray]:
    """The network's output for every picture, at the network's own resolution.

    The last batch is filled up with its last picture: an answer then comes from the same program whatever else is
    asked, and is the same to the last bit.
    """
    answers: list[np.ndarray] = []
    for start in range(0, len(pictures), BATCH):
        resized = [recognizer.preprocessing.resize(picture) for picture in pictures[start : start + BATCH]]
        batch = np.stack(resized + [resized[-1]] * (BATCH - len(resized)))
        answers += list(np.asarray(_output(recognizer, batch))[: len(resized)])
    return answers


@jax.jit
def _output(recognizer: Recognizer, images: UInt8[Array, "b h w 3"]) -> Array:
    return jnp.asarray(recognizer.outputs(images.astype(jnp.float32) / 255)[recognizer.output])
