"""Crops: the same batch wherever a run starts and however many processes share it; damaged photos."""

import numpy as np
import pytest

from icm_jax.data.crops import crop_batches
from icm_jax.data.image_io import write_image
from icm_jax.errors import IcmError


def photos(folder, count: int = 6, damaged: int = 0):
    rng = np.random.default_rng(0)
    for i in range(count):
        write_image(folder / f"{i:03}.png", rng.integers(0, 256, (40, 48, 3), np.uint8))
    for i in range(damaged):
        (folder / f"{i:03}.png").write_bytes(b"no image")
    return folder


def images(batches, count: int) -> list[np.ndarray]:
    return [next(batches)["image"] for _ in range(count)]


def test_batches_do_not_depend_on_where_a_run_starts(tmp_path) -> None:
    folder = photos(tmp_path)
    whole = images(crop_batches(folder, 32, 4, seed=3), 6)
    later = images(crop_batches(folder, 32, 4, seed=3, first=4), 2)
    np.testing.assert_array_equal(whole[4:], later)
    assert not np.array_equal(whole[0], images(crop_batches(folder, 32, 4, seed=4), 1)[0])


def test_the_middle_of_a_photo_without_chance(tmp_path) -> None:
    """A photo of columns of one grey: what is left of it starts at column 4 of 48 and holds 40, halved."""
    columns = np.repeat(np.arange(48, dtype=np.uint8)[None, :, None], 40, 0).repeat(3, 2)
    write_image(tmp_path / "a.png", columns)
    first, second = images(crop_batches(tmp_path, 20, 2, seed=1, cut="centre"), 2)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (2, 20, 20, 3) and abs(float(first[0, 0, 0, 0]) - 4.5) <= 0.5


def test_mirrored_squares_keep_their_rows(tmp_path) -> None:
    rows = np.repeat(np.arange(40, dtype=np.uint8)[:, None, None], 40, 1).repeat(3, 2)
    write_image(tmp_path / "a.png", rows)
    squares = np.concatenate(images(crop_batches(tmp_path, 32, 4, seed=1, cut="mirror"), 4))
    assert (np.diff(squares[..., 0].astype(int), axis=1) == 1).all()
    flipped = np.concatenate(images(crop_batches(tmp_path, 32, 4, seed=1), 4))
    assert (np.diff(flipped[..., 0].astype(int), axis=1) == -1).any()


@pytest.mark.parametrize("count", [2, 4])
def test_shares_together_are_the_whole_batch(count, tmp_path) -> None:
    folder = photos(tmp_path)
    whole = images(crop_batches(folder, 32, 4, seed=3), 3)
    shares = [images(crop_batches(folder, 32, 4, seed=3, share=(i, count)), 3) for i in range(count)]
    for n in range(3):
        np.testing.assert_array_equal(whole[n], np.concatenate([share[n] for share in shares]))


def test_a_damaged_photo_is_named_and_replaced(tmp_path, capsys) -> None:
    folder = photos(tmp_path, count=101, damaged=1)
    batches = crop_batches(folder, 32, 101, seed=1)
    ids = next(batches)["id"]
    assert 0 not in ids and len(ids) == 101
    assert "left out" in capsys.readouterr().err


def test_more_than_one_percent_damaged_stops(tmp_path) -> None:
    folder = photos(tmp_path, count=12, damaged=1)
    with pytest.raises(IcmError, match="1 of 12 photos are damaged, more than 1%"):
        images(crop_batches(folder, 32, 12, seed=1), 2)


def test_small_photos_and_empty_folders_are_refused(tmp_path) -> None:
    with pytest.raises(IcmError, match="smaller than the crop of 64"):
        images(crop_batches(photos(tmp_path), 64, 2, seed=1), 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(IcmError, match="empty"):
        crop_batches(tmp_path / "empty", 64, 2, seed=1)
