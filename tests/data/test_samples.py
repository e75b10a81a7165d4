"""The embedded photos: free licences, intact files, small enough to ship."""

from importlib import resources

import numpy as np
import pytest

from icm_jax.data import samples
from icm_jax.errors import IcmError


def test_samples_are_free_photos_of_a_useful_size() -> None:
    photos = samples.sample_images()
    assert [photo.name for photo in photos] == ["astronaut", "coffee", "rocket"]
    for photo in photos:
        assert photo.licence in ("CC0 1.0", "Public domain")
        assert photo.author and photo.source
        assert photo.image.dtype == np.uint8 and photo.image.shape[2] == 3
        assert max(photo.image.shape) >= 512
        left, top = photo.focus
        assert left + 128 <= photo.image.shape[1] and top + 128 <= photo.image.shape[0]


def test_samples_fit_in_a_wheel() -> None:
    files = [file for file in resources.files(samples.__name__).iterdir() if file.name.endswith(".webp")]
    assert sum(len(file.read_bytes()) for file in files) < 1_500_000


def test_a_damaged_file_is_refused() -> None:
    entry = {"file": "astronaut.webp", "sha256": "0" * 64}
    with pytest.raises(IcmError, match=r"astronaut\.webp.*reinstall"):
        samples._load(entry, b"not a photo")
