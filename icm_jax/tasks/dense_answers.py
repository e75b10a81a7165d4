"""Answers of networks that say something of every pixel, at the size of the picture."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.tasks.answers import network_outputs
from icm_jax.tasks.task import Answers, Picture

Read = Callable[[Float[np.ndarray, "h w c"]], Any]


def dense_answers(read: Read, prepare: Read | None = None) -> Answers:
    """Outputs brought to each picture's size, then read.

    Args:
        read: output at the picture's size [h, w, c] -> answer.
        prepare: what is done to an output at the network's own size first.
    """

    def answers(recognizer: Recognizer, pictures: Sequence[Picture]) -> list[Any]:
        outputs = network_outputs(recognizer, pictures)
        return [
            read(resized_plane(prepare(output) if prepare else output, picture.shape[:2]))
            for output, picture in zip(outputs, pictures, strict=True)
        ]

    return answers


def resized_plane(plane: Float[np.ndarray, "h w c"], size: tuple[int, int]) -> Float[np.ndarray, "h2 w2 c"]:
    """Bilinear, sampled at pixel centres, on the host: photos come in too many sizes for a program each.

    The same values as `icm_jax.layers.resize.bilinear`.
    """
    for axis, length in enumerate(size):
        count = plane.shape[axis]
        if count == length:
            continue
        ratio = float(np.float32(count) / np.float32(length))
        position = np.maximum(ratio * (np.arange(length) + 0.5) - 0.5, 0).astype(np.float32)
        first = np.minimum(position.astype(np.int32), count - 1)
        second = np.minimum(first + 1, count - 1)
        weight = (position - first).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        plane = np.take(plane, first, axis) * (1 - weight) + np.take(plane, second, axis) * weight
    return plane
