"""Random crops of a folder of photos, through Grain: the input of base-codec training.

files ─► decoded once, kept in memory ─► shuffle, repeat ─► crop + flips ─► batch of uint8 [b, crop, crop, 3]
"""

from collections.abc import Sequence
from pathlib import Path

import grain.python as grain
import numpy as np

from icm_jax.data.image_io import list_images, read_image
from icm_jax.errors import IcmError

MEMORY_LIMIT_BYTES = 4 << 30  # photos decoded beyond this are read from disk again at every visit


class PhotoSource:
    """Random access to the photos of a folder, decoded at first use and kept while memory allows."""

    def __init__(self, folder: str | Path, smallest: int) -> None:
        self.folder = Path(folder)
        self.paths = list_images(folder)
        self.smallest = smallest
        self._cache: dict[int, np.ndarray] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"PhotoSource({self.folder.name!r}, {len(self)})"  # Grain compares this when a run is resumed

    def __getitem__(self, index: int) -> np.ndarray:
        if index in self._cache:
            return self._cache[index]
        image = read_image(self.paths[index])
        if min(image.shape[:2]) < self.smallest:
            raise IcmError(
                f"{self.paths[index]}: {image.shape[1]}×{image.shape[0]} is smaller than the crop of "
                f"{self.smallest}; remove it or lower data.crop"
            )
        if self._cached_bytes + image.nbytes <= MEMORY_LIMIT_BYTES:
            self._cache[index] = image
            self._cached_bytes += image.nbytes
        return image


class RandomCropFlip(grain.RandomMapTransform):
    """A random square, mirrored left-right and upside down with probability one half each."""

    def __init__(self, crop: int) -> None:
        self.crop = crop

    def random_map(self, element: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        top, left = (int(rng.integers(0, size - self.crop + 1)) for size in element.shape[:2])
        patch = element[top : top + self.crop, left : left + self.crop]
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
        if rng.random() < 0.5:
            patch = patch[::-1]
        return np.ascontiguousarray(patch)


def crop_batches(
    folder: str | Path, crop: int, batch_size: int, seed: int, threads: int = 1
) -> grain.DatasetIterator:
    """Endless batches uint8 [batch_size, crop, crop, 3]; the iterator's state can be saved and restored."""
    source: Sequence[np.ndarray] = PhotoSource(folder, crop)  # type: ignore[assignment]
    data = grain.MapDataset.source(source).seed(seed).shuffle().repeat().random_map(RandomCropFlip(crop))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * batch_size)
    return iter(data.to_iter_dataset(options).batch(batch_size, drop_remainder=True))
