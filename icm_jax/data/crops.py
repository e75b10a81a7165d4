"""Random crops of a folder of photos, through Grain: the input of base-codec training.

files ─► decoded once, kept in memory ─► shuffle, repeat ─► crop + flips ─► batch of uint8 [b, crop, crop, 3]

Every example is a function of (seed, its position), so a run continues at batch n by asking for batch n, on any
number of processes.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grain.python as grain
import numpy as np
from PIL import Image

from icm_jax.data.image_io import list_images, read_image
from icm_jax.errors import IcmError

# random squares flipped both ways, the same mirrored left-right only, or the middle of the photo
CUTS = ("flips", "mirror", "centre")
MEMORY_LIMIT_BYTES = 4 << 30  # photos decoded beyond this are read from disk again at every visit
UNREADABLE_SHARE = 0.01  # of a folder's photos that may be damaged before a run stops


class PhotoSource:
    """Random access to the photos of a folder, decoded at first use and kept while memory allows.

    A damaged photo is named once on stderr, and the next readable one stands in for it.

    Args:
        smallest: pixels that either side must have.
        paths: some of the folder's photos; by default all.
    """

    def __init__(self, folder: str | Path, smallest: int, paths: Sequence[Path] = ()) -> None:
        self.folder = Path(folder)
        self.paths = list(paths) or list_images(folder)
        self.smallest = smallest
        self.damaged: set[int] = set()
        self._cache: dict[int, np.ndarray] = {}
        self._cached_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"PhotoSource({self.folder.name!r}, {len(self)})"  # stable: Grain compares it

    def __getitem__(self, index: int) -> dict[str, Any]:
        while (image := self._read(index)) is None:
            index = (index + 1) % len(self)
        return {"image": image, "id": np.int32(index)}

    def _read(self, index: int) -> np.ndarray | None:
        if index in self._cache:
            return self._cache[index]
        try:
            image = read_image(self.paths[index])
        except IcmError as error:
            self._count_damaged(index, error)
            return None
        if min(image.shape[:2]) < self.smallest:
            raise IcmError(
                f"{self.paths[index]}: {image.shape[1]}×{image.shape[0]} is smaller than the crop of "
                f"{self.smallest}; remove it or lower data.crop"
            )
        if self._cached_bytes + image.nbytes <= MEMORY_LIMIT_BYTES:
            self._cache[index] = image
            self._cached_bytes += image.nbytes
        return image

    def _count_damaged(self, index: int, error: IcmError) -> None:
        with self._lock:  # reader threads share this object
            if index not in self.damaged:
                self.damaged.add(index)
                print(f"left out: {error}", file=sys.stderr)
            if len(self.damaged) > UNREADABLE_SHARE * len(self):
                raise IcmError(
                    f"{self.folder}: {len(self.damaged)} of {len(self)} photos are damaged, more than "
                    f"{UNREADABLE_SHARE:.0%}; the last is {error}"
                ) from None


class RandomCropFlip(grain.RandomMapTransform):
    """A random square, mirrored with probability one half: left-right, and apart from that `upside_down`."""

    def __init__(self, crop: int, upside_down: bool = True) -> None:
        self.crop, self.upside_down = crop, upside_down

    def random_map(self, element: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        image = element["image"]
        top, left = (int(rng.integers(0, size - self.crop + 1)) for size in image.shape[:2])
        patch = image[top : top + self.crop, left : left + self.crop]
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
        if self.upside_down and rng.random() < 0.5:
            patch = patch[::-1]
        return {**element, "image": np.ascontiguousarray(patch)}


class CentralSquare(grain.MapTransform):
    """The short side resized to `crop` pixels, and the square in the middle."""

    def __init__(self, crop: int) -> None:
        self.crop = crop

    def map(self, element: dict[str, Any]) -> dict[str, Any]:
        photo = Image.fromarray(element["image"])
        size = [self.crop * side // min(photo.size) for side in photo.size]
        left, top = (round((side - self.crop) / 2) for side in size)
        resized = photo.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        square = resized.crop((left, top, left + self.crop, top + self.crop))
        return {**element, "image": np.asarray(square)}


class BlockOfRows(grain.MapDataset):
    """Of every `batch` consecutive elements, block `index` of `count` equal ones: one process's rows."""

    def __init__(self, parent: grain.MapDataset, batch: int, index: int, count: int) -> None:
        super().__init__(parent)
        self._batch, self._rows, self._index = batch, batch // count, index

    def __len__(self) -> int:
        return len(self._parent) // self._batch * self._rows

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        batch, row = divmod(index, self._rows)
        return self._parent[batch * self._batch + self._index * self._rows + row]


def crop_batches(
    folder: str | Path,
    crop: int,
    batch_size: int,
    seed: int,
    threads: int = 1,
    share: tuple[int, int] = (0, 1),
    first: int = 0,
    cut: str = "flips",
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches {"image": uint8 [b, crop, crop, 3], "id": int32 [b]} from number `first` on.

    Args:
        batch_size: rows of a whole batch; `share` = (index, count) asks for one of `count` equal blocks of them.
        cut: a name of `CUTS`.

    Raises:
        IcmError: an empty folder; while iterating, a photo smaller than the crop or more than 1 % damaged ones.
    """
    index, count = share
    source: Sequence[Any] = PhotoSource(folder, 1 if cut == "centre" else crop)  # type: ignore[assignment]
    photos = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
    if cut == "centre":
        data = photos.map(CentralSquare(crop))
    else:
        data = photos.random_map(RandomCropFlip(crop, upside_down=cut == "flips"))
    rows = BlockOfRows(data, batch_size, index, count) if count > 1 else data
    batches = rows.batch(batch_size // count, drop_remainder=True).slice(slice(first, None))
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4)))
