"""Sets of photos: bytes are kept as they are, Kodak is known by its pixels."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from icm_jax.data.builders.build import build
from icm_jax.data.builders.kodak_pixels import PIXELS_SHA256
from icm_jax.data.datasets import SampleSource, read_set
from icm_jax.errors import IcmError
from tests.data import dummy_archives

KODAK = Path(__file__).parents[4] / "shared" / "data" / "kodak"


def test_files_are_stored_byte_by_byte(tmp_path) -> None:
    photos = dummy_archives.photos(tmp_path / "in" / "flicker_2W_images")
    folder = build("flickr2w", tmp_path / "in", tmp_path / "out")
    source = SampleSource(read_set(folder, "flickr2w"), "train")
    assert [source[i]["id"] for i in range(5)] == [f"kodim{i + 1:02}" for i in range(5)]
    for i, photo in enumerate(photos):
        np.testing.assert_array_equal(source[i]["image"], photo)
    plain = tfds.builder_from_directory(folder).as_data_source(
        "train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    assert [example["image"] for example in plain] == [
        path.read_bytes() for path in sorted(tmp_path.glob("in/*/*.png"))
    ]


def test_plain_tfds_decodes_what_was_stored(tmp_path) -> None:
    written = dummy_archives.nyud(tmp_path / "in")
    folder = build("nyud_mt", tmp_path / "in", tmp_path / "out", as_is=True)
    example = tfds.builder_from_directory(folder).as_data_source("validation")[0]
    np.testing.assert_array_equal(example["depth"], written["0003"]["depth"])
    np.testing.assert_array_equal(example["edge"][..., 0], written["0003"]["edge"])


def test_folders_of_a_folder_become_splits(tmp_path) -> None:
    for split in ("train", "test"):
        dummy_archives.photos(tmp_path / "My photos" / split, 2)
    folder = build("image_folder", tmp_path / "My photos", tmp_path / "out")
    built = read_set(folder, "mine")
    assert built.splits == {"test": 2, "train": 2} and folder.parent.name == "My_photos"
    named = build("image_folder/mine", tmp_path / "My photos", tmp_path / "out")
    assert named.parent.name == "mine"


def test_kodak_is_known_by_its_pixels(tmp_path) -> None:
    dummy_archives.photos(tmp_path / "in", 24)
    with pytest.raises(IcmError, match=r"kodim01\.png: not the pixels of Kodak's kodim01"):
        build("kodak", tmp_path / "in", tmp_path / "out")
    assert build("kodak", tmp_path / "in", tmp_path / "out", as_is=True).is_dir()
    assert sorted(PIXELS_SHA256) == [f"kodim{i + 1:02}" for i in range(24)]


@pytest.mark.skipif(not KODAK.is_dir(), reason="Kodak's photos are not here")
def test_kodak_itself_is_accepted(tmp_path) -> None:
    folder = build("kodak", KODAK, tmp_path)
    assert read_set(folder, "kodak").splits == {"test": 24} and not read_set(folder, "kodak").record.as_is


def test_an_unreadable_photo_and_an_empty_folder_are_named(tmp_path) -> None:
    dummy_archives.photos(tmp_path / "in", 3)
    (tmp_path / "in" / "kodim02.png").write_bytes((tmp_path / "in" / "kodim02.png").read_bytes()[:80])
    with pytest.raises(IcmError, match=r"kodim02\.png: damaged or truncated"):
        build("flickr2w", tmp_path / "in", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IcmError, match="no such folder, or empty; it has to hold"):
        build("flickr2w", tmp_path / "empty", tmp_path / "out")
    with pytest.raises(IcmError, match="data set 'flickr' is unknown; choose one of"):
        build("flickr", tmp_path / "in", tmp_path / "out")
