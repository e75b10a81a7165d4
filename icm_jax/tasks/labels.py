"""Labels of a data set as files: one file an image beside the others, or one table for all of them."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from icm_jax.errors import IcmError
from icm_jax.metrics.meter import IGNORE


@dataclass(frozen=True)
class LabelFolder:
    """A file for every image, of the same name up to the extension.

    Attributes:
        folder: where the files are.
        extensions: those that are looked for, in this order.
        read: file -> label [h, w] or [h, w, 3]. May raise IcmError without naming the file.
    """

    folder: Path
    extensions: tuple[str, ...]
    read: Callable[[Path], np.ndarray]

    def check(self, images: Sequence[Path]) -> None:
        if not self.folder.is_dir():
            raise IcmError(
                f"{self.folder}: no such folder of labels; give one with a {self._wanted} file an image"
            )
        for image in images:
            self.file_of(image)

    def of(self, image: Path, size: tuple[int, int]) -> np.ndarray:
        file = self.file_of(image)
        try:
            label = self.read(file)
        except (OSError, ValueError, EOFError, KeyError) as error:
            raise IcmError(f"{file}: not a readable label ({error}); replace the file") from None
        except IcmError as error:
            raise IcmError(f"{file}: {error}") from None
        if label.shape[:2] != size:
            raise IcmError(
                f"{file}: label is {_size(label.shape[:2])}, its image {image.name} is {_size(size)}; "
                "give labels and images of one size"
            )
        return label

    def file_of(self, image: Path) -> Path:
        """The file of an image's label."""
        for extension in self.extensions:
            file = self.folder / f"{image.stem}{extension}"
            if file.is_file():
                return file
        raise IcmError(
            f"{self.folder / image.stem}: no label ({self._wanted}) for {image.name}; "
            "add it, or take the image out"
        )

    @property
    def _wanted(self) -> str:
        return " or ".join(self.extensions)


@dataclass(frozen=True)
class ClassTable:
    """A CSV file with the columns `file` and `class_index`."""

    path: Path

    def check(self, images: Sequence[Path]) -> None:
        for image in images:
            self.of(image, (0, 0))

    def of(self, image: Path, size: tuple[int, int]) -> int:
        if image.name not in self._classes:
            raise IcmError(
                f"{self.path}: no row for {image.name} among {len(self._classes)}; "
                "add it, or take the image out"
            )
        return self._classes[image.name]

    @cached_property
    def _classes(self) -> dict[str, int]:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError) as error:
            raise IcmError(
                f"{self.path}: not a readable table of labels ({error}); give a CSV file"
            ) from None
        if not rows or not {"file", "class_index"} <= rows[0].keys():
            found = ", ".join(map(str, rows[0])) if rows else "no rows"
            raise IcmError(
                f"{self.path}: has {found}, expected the columns file and class_index; "
                "write the header line file,class_index"
            )
        classes: dict[str, int] = {}
        for line, row in enumerate(rows, 2):
            value = (row["class_index"] or "").strip()
            if not value.isdecimal():
                raise IcmError(
                    f"{self.path}, line {line}: class_index {value!r} of {row['file']} is not a whole number "
                    "from 0; correct the row"
                )
            classes[row["file"]] = int(value)
        return classes


def read_png(file: Path) -> np.ndarray:
    """A map as it is stored: class numbers of a grey or palette image [h, w], or colours [h, w, 3]."""
    with Image.open(file) as image:
        if image.mode == "1":
            return np.asarray(image).astype(np.uint8) * 255
        if image.mode not in ("L", "P", "RGB"):
            raise IcmError(f"label has mode {image.mode}, expected 8-bit grey, palette or RGB; convert it")
        return np.asarray(image)


def read_class_map(classes: int, file: Path) -> np.ndarray:
    """Class numbers [h, w] below `classes`, or 255."""
    label = read_png(file)
    if label.ndim != 2:
        raise IcmError("label is in colour, expected class numbers as grey or palette values; convert it")
    return in_range(label, classes)


def in_range(label: np.ndarray, classes: int) -> np.ndarray:
    """The map itself; raises IcmError for a class number that is none."""
    wrong = label[(label >= classes) & (label != IGNORE)]
    if wrong.size:
        raise IcmError(
            f"label has class {wrong[0]}, the limits are 0 to {classes - 1}, and {IGNORE} for what does not count; "
            "map the classes to these"
        )
    return label


def read_array(file: Path) -> np.ndarray:
    """A `.npy` array as it is stored."""
    array: np.ndarray = np.load(file, allow_pickle=False)
    return array


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]}" if len(shape) > 1 else f"of shape {list(shape)}"
