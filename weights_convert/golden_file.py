"""A golden archive under comparison: its arrays, the verdict on each, and whether any was overlooked.

Archives hold what a published PyTorch model computed: NCHW, some maps sampled as `NAME@strideK`. A check
reads arrays (`read`), compares them (`compare…`) or sets them aside with a reason (`ignore`); one that none
of these touched is a failure, so that nothing passes by not being looked at.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import ArrayLike

from icm_jax.errors import IcmError


class GoldenError(IcmError):
    """A golden file can not be read, is of an unknown kind, or lacks a companion."""


class Row(NamedTuple):
    """Verdict on an array: passed where `max_abs` <= `tolerance`; `relative` is max_abs / max |reference|."""

    array: str
    max_abs: float
    relative: float
    tolerance: float
    passed: bool
    note: str = ""


class Tolerance(NamedTuple):
    """Largest difference allowed: `absolute`, or `relative` times the largest reference entry if more."""

    absolute: float = 0.0
    relative: float = 0.0


EXACT = Tolerance()


def failure(array: str, note: str) -> Row:
    """A row for what could not be compared at all."""
    return Row(array, float("nan"), float("nan"), 0.0, False, note)


def to_nhwc(array: np.ndarray) -> np.ndarray:
    """[b, c, h, w] -> [b, h, w, c]; float16 storage becomes float32."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1), np.float32)


def to_nchw(array: ArrayLike) -> np.ndarray:
    """[b, h, w, c] -> [b, c, h, w]."""
    return np.asarray(array).transpose(0, 3, 1, 2)


@dataclass
class GoldenFile:
    """The arrays of one `.npz` and the rows found so far."""

    path: Path
    arrays: dict[str, np.ndarray] = field(init=False)
    rows: list[Row] = field(default_factory=list, init=False)
    _seen: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        try:
            if not is_zipfile(self.path):  # np.load would read a single array, too
                raise BadZipFile("it is none")
            with np.load(self.path, allow_pickle=False) as archive:
                self.arrays = {name: archive[name] for name in archive.files}
        except (OSError, EOFError, ValueError, BadZipFile, zlib.error) as error:
            raise GoldenError(f"{self.path} can not be read as an .npz archive: {error}") from None

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def read(self, name: str) -> np.ndarray:
        """An array that serves as an input of the check."""
        if name not in self.arrays:
            raise GoldenError(f"{self.path.name} has no array {name!r}, which its other arrays call for")
        self._seen.add(name)
        return self.arrays[name]

    def read_map(self, name: str) -> np.ndarray:
        """A map [b, c, h, w] of the file as float32 [b, h, w, c]."""
        return to_nhwc(self.read(name))

    def read_group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays `prefix…` under the rest of their names."""
        return {name.removeprefix(prefix): self.read(name) for name in self.arrays if name.startswith(prefix)}

    def matching(self, pattern: str) -> Iterator[re.Match[str]]:
        """Matches of `pattern` with the whole names that nothing has touched yet."""
        for name in self.arrays:
            if name not in self._seen and (match := re.fullmatch(pattern, name)):
                yield match

    def ignore(self, pattern: str, reason: str) -> None:
        """Sets arrays aside; they are listed in one passing row with the reason."""
        names = [match[0] for match in self.matching(pattern)]
        self._seen.update(names)
        if names:
            shown = names[0] if len(names) == 1 else f"{names[0]} … ({len(names)} arrays)"
            self.rows.append(Row(shown, 0.0, 0.0, 0.0, True, f"not compared: {reason}"))

    def compare(self, name: str, ours: ArrayLike, tolerance: Tolerance, note: str = "") -> None:
        """Compares an array of the file, if the file has it, with ours in the file's layout."""
        if name not in self.arrays:
            return
        self._seen.add(name)
        self.rows.append(_difference(name, np.asarray(ours), self.arrays[name], tolerance, note))

    def compare_map(self, name: str, ours: ArrayLike, tolerance: Tolerance, note: str = "") -> None:
        """Compares `name` or `name@strideK` with our map [b, h, w, c]; a file may hold one image."""
        note = note or self._reference_error(name)
        for key in filter(re.compile(re.escape(name) + r"(@stride\d+)?").fullmatch, self.arrays):
            stride = int(key.partition("@stride")[2] or 1)
            images = len(self.arrays[key])
            self.compare(key, to_nchw(ours)[:images, :, ::stride, ::stride], tolerance, note)

    def require(self, name: str, passed: bool, note: str) -> None:
        """Records a verdict about an array that is not a difference of numbers."""
        self._seen.add(name)
        self.rows.append(Row(name, 0.0, 0.0, 0.0, True, note) if passed else failure(name, note))

    def finish(self) -> list[Row]:
        """All rows, with a failing one for each array that no check touched."""
        overlooked = [name for name in self.arrays if name not in self._seen]
        return self.rows + [failure(name, "unknown array: no check looked at it") for name in overlooked]

    def _reference_error(self, name: str) -> str:
        """How far the float32 reference itself is from float64, where the file says."""
        key = f"f64_maxdiff/{name}"
        return f"reference is {float(self.read(key)):.1e} from float64" if key in self.arrays else ""


def weights_beside(path: Path, kind: str, words: Sequence[str], suffixes: Sequence[str]) -> Path:
    """The file with weights beside `path` that is called KIND_WORDS+SUFFIX, of some neighbouring words of `words`.

    The most words count, and of equally many the first.

    Raises:
        GoldenError: there is none.
    """
    runs = [words[i:j] for i in range(len(words)) for j in range(len(words), i, -1)]
    for run in sorted(runs, key=len, reverse=True):
        for suffix in suffixes:
            candidate = path.with_name("_".join((kind, *run)) + suffix + ".npz")
            if candidate.exists() and any(name.startswith("sd/") for name in np.load(candidate).files):
                return candidate
    raise GoldenError(
        f"{path.name} needs the weights of {kind}, and no {kind}_… file beside it has them; put it there"
    )


def companion(path: Path) -> Path:
    """The file beside `path` that holds its weights: `WORDS_weights.npz` or `WORDS.npz` of most of its words.

    tic_small_N32M48_train.npz -> tic_small_N32M48.npz;  tic_full_256x256.npz -> tic_full_weights.npz
    """
    words = path.stem.split("_")
    tried = []
    for count in range(len(words) - 1, 0, -1):
        for suffix in ("_weights", ""):
            candidate = path.with_name("_".join(words[:count]) + suffix + ".npz")
            if candidate.exists():
                return candidate
            tried.append(candidate.name)
    raise GoldenError(
        f"{path.name} has no weights in it and none beside it; put one of {', '.join(tried)} there"
    )


def _difference(name: str, ours: np.ndarray, theirs: np.ndarray, tolerance: Tolerance, note: str) -> Row:
    if ours.shape != theirs.shape:
        return failure(name, f"shape {list(ours.shape)} instead of {list(theirs.shape)}")
    if theirs.size == 0:
        return Row(name, 0.0, 0.0, 0.0, True, "empty")
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    max_abs = float(np.abs(ours - theirs).max())
    scale = float(np.abs(theirs).max())
    limit = max(tolerance.absolute, tolerance.relative * scale)
    return Row(name, max_abs, max_abs / scale if scale else max_abs, limit, max_abs <= limit, note)
