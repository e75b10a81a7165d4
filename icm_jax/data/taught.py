"""Photos without labels as samples of dense tasks: what a published network says of a whole photo is its label.

    photo ─► network, at its own size ─► class or saliency of every pixel of the photo ─► FOLDER/TASK/KEY.png

A network looks at a photo once: KEY is a digest of the photo's pixels and of the network's weights. So a folder of
labels serves every run on these photos, and a change of either makes new labels.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from icm_jax.data.crops import PhotoSource
from icm_jax.data.image_io import list_images, make_folder, write_image
from icm_jax.errors import IcmError
from icm_jax.recognizers.predict import find_salient, segment
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.registry import find_weights, frozen_network
from icm_jax.tasks.labels import in_range, read_png
from icm_jax.tasks.teachers import teacher_task

RANDOM = "random"  # in the place of weights
CLASSES = 21  # of PASCAL VOC, the background first

Photo = UInt8[np.ndarray, "h w 3"]
Label = UInt8[np.ndarray, "h w"]


def _classes(network: Recognizer, photo: Photo) -> Label:
    return in_range(segment(network, photo), CLASSES).astype(np.uint8)


def _saliency(network: Recognizer, photo: Photo) -> Label:
    """0 to 255 as `pascal_mt` stores it: salient above 127."""
    return np.round(255 * find_salient(network, photo)).astype(np.uint8)


# How the network that `icm_jax.tasks.teachers` names for a task labels a photo.
ANSWERS: dict[str, Callable[[Recognizer, Photo], Label]] = {"semseg": _classes, "sal": _saliency}


@dataclass(frozen=True)
class Teacher:
    """Who labels photos for one task.

    Attributes:
        digest: of the network's weights.
        folder: keeps labels for the next run; None makes them again.
    """

    task: str
    network: Recognizer
    digest: str
    folder: Path | None = None

    def label(self, photo: Photo) -> Label:
        """The label of a photo, uint8 [h, w].

        Raises:
            IcmError: a kept label that is not readable, or a network of other classes.
        """
        if self.folder is None:
            return ANSWERS[self.task](self.network, photo)
        known = f"{self.digest}{photo.shape}".encode() + photo.tobytes()
        file = self.folder / self.task / f"{hashlib.sha256(known).hexdigest()[:32]}.png"
        if file.is_file():
            return _read(file)
        label = ANSWERS[self.task](self.network, photo)
        make_folder(file.parent)
        write_image(file, label)
        return label


def _read(file: Path) -> Label:
    try:
        return read_png(file)
    except (OSError, ValueError, SyntaxError) as error:
        raise IcmError(f"{file}: not a readable label ({error}); delete it, and it is made again") from None


def load_teacher(task: str, weights: str, folder: Path | None = None) -> Teacher:
    """The teacher of a task.

    Args:
        weights: its network's published file, or a folder that holds it; "" looks where `ICM_WEIGHTS` says; "random"
            draws them.

    Raises:
        IcmError: no network labels photos for this task; the file is not there, or of another network.
    """
    if task not in ANSWERS:
        raise IcmError(f"no network labels photos with {task!r}; choose of {', '.join(ANSWERS)}")
    name = teacher_task(task).network
    network = frozen_network(name, weights)
    if weights == RANDOM:
        return Teacher(task, network, RANDOM, folder)
    file = find_weights(name, weights or None)
    return Teacher(task, network, hashlib.sha256(file.read_bytes()).hexdigest(), folder)


class TaughtSource:
    """Random access to photos with the labels of their teachers, made when they are first asked for and kept.

    Elements: {"image": uint8 [h, w, 3], a uint8 label [h, w] for each teacher, "id": int32}.
    """

    def __init__(self, photos: PhotoSource, teachers: Sequence[Teacher]) -> None:
        self._photos, self._teachers = photos, teachers
        self._kept: dict[int, Mapping[str, Label]] = {}

    def __len__(self) -> int:
        return len(self._photos)

    def __repr__(self) -> str:
        tasks = "+".join(teacher.task for teacher in self._teachers)
        return f"TaughtSource({self._photos!r}, {tasks})"  # stable: Grain compares it

    def __getitem__(self, index: int) -> dict[str, Any]:
        photo = self._photos[index]
        number = int(photo["id"])  # another one where this is damaged
        if number not in self._kept:
            self._kept[number] = {teacher.task: teacher.label(photo["image"]) for teacher in self._teachers}
        return {**photo, **self._kept[number]}


def split_photos(folder: str | Path, held_out: int) -> tuple[list[Path], list[Path]]:
    """The photos of a folder that are trained on, and `held_out` others, evenly spaced among all by name.

    Raises:
        IcmError: the folder does not exist, or holds too few photos.
    """
    paths = list_images(folder)
    if not 1 <= held_out < len(paths):
        raise IcmError(
            f"data.held_out_count={held_out}, but {folder} holds {len(paths)} photos; "
            f"hold out at least 1, and leave 1 to train on"
        )
    chosen = {(2 * i + 1) * len(paths) // (2 * held_out) for i in range(held_out)}
    return (
        [path for i, path in enumerate(paths) if i not in chosen],
        [path for i, path in enumerate(paths) if i in chosen],
    )
