"""What a codec of a task's features decodes to, as files: the answer, and a picture of it for people.

semseg, human_parts   PNG of class numbers        sal, edge   PNG of 255 · probability
depth                 NPZ, float32 metres         normals     NPZ, float32 unit vectors
"""

import io
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from icm_jax.data.label_pictures import label_picture
from icm_jax.data.label_rules import KINDS
from icm_jax.errors import IcmError
from icm_jax.tasks.registry import TASKS

# By which task of the registry a prediction is read, where the names differ.
READ_AS = {"sal": "saliency", "edge": "boundary"}


class PredictionFile(NamedTuple):
    """Bytes of a prediction, and its picture."""

    data: bytes
    preview: UInt8[np.ndarray, "h w 3"]


def prediction_suffix(task: str) -> str:
    """Of the files of a task: ".png" or ".npz".

    Raises:
        IcmError: no task with a prediction at every pixel.
    """
    if task not in KINDS:
        raise IcmError(f"task {task!r} has no predictions to write; choose one of {', '.join(KINDS)}")
    return ".npz" if KINDS[task] in ("depth", "normals") else ".png"


def prediction_file(task: str, prediction: Float[np.ndarray, "h w o"]) -> PredictionFile:
    """A prediction as `TaskCodec.decompress` gives it, as what is stored and what is shown of it."""
    as_array = prediction_suffix(task) == ".npz"
    read_output = TASKS[READ_AS.get(task, task)].read_output
    assert read_output is not None
    answer = read_output(prediction)
    if KINDS[task] == "depth":
        answer = np.maximum(answer, 0)
    elif KINDS[task] == "normals":
        answer = answer / np.maximum(np.linalg.norm(answer, axis=-1, keepdims=True), 1e-12)
    elif KINDS[task] != "classes":
        answer = np.round(255 * answer).astype(np.uint8)
    shown = (answer > 127).astype(np.uint8) if KINDS[task] == "boundary" else answer
    return PredictionFile(_npz(answer) if as_array else _png(answer), label_picture(task, shown))


def _png(answer: UInt8[np.ndarray, "h w"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(answer).save(buffer, "PNG")
    return buffer.getvalue()


def _npz(answer: Float[np.ndarray, "h w ..."]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, prediction=answer.astype(np.float32))
    return buffer.getvalue()
