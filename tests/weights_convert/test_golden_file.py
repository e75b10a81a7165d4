"""The bookkeeping that keeps an array from passing without being looked at."""

from pathlib import Path

import numpy as np
import pytest

from weights_convert.golden_file import EXACT, GoldenError, GoldenFile, Tolerance, companion, to_nhwc


def golden(path: Path, **arrays: np.ndarray) -> GoldenFile:
    np.savez(path / "golden.npz", **arrays)
    return GoldenFile(path / "golden.npz")


@pytest.mark.parametrize("content", ["empty", "text", "a single array", "cut", "damaged"])
def test_what_is_no_archive_is_one_line(tmp_path: Path, content: str):
    path = tmp_path / "tic_small.npz"
    np.savez_compressed(path, a=np.arange(5000))
    whole = bytearray(path.read_bytes())
    if content == "damaged":
        whole[100:400] = bytes(300)
    if content == "a single array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes({"empty": b"", "text": b"hello", "cut": whole[:500], "damaged": whole}[content])
    with pytest.raises(GoldenError, match="can not be read") as caught:
        GoldenFile(path)
    assert "\n" not in str(caught.value)


def test_an_array_nobody_looked_at_fails(tmp_path: Path):
    file = golden(tmp_path, used=np.ones(2), compared=np.ones(2), ignored=np.ones(2), overlooked=np.ones(2))
    file.read("used")
    file.compare("compared", np.ones(2), EXACT)
    file.ignore("ignored", "a reason")
    rows = {row.array: row for row in file.finish()}
    assert rows["compared"].passed
    assert "a reason" in rows["ignored"].note
    assert not rows["overlooked"].passed
    assert "used" not in rows


@pytest.mark.parametrize(
    ("theirs", "ours", "tolerance", "passed"),
    [
        ([2.0, 100.0], [2.0, 100.5], Tolerance(absolute=0.5), True),
        ([2.0, 100.0], [2.0, 100.6], Tolerance(absolute=0.5), False),
        ([2.0, 100.0], [2.9, 100.0], Tolerance(relative=0.01), True),
        ([2.0, 100.0], [3.1, 100.0], Tolerance(relative=0.01), False),
        ([2.0, 100.0], [2.0, np.nan], Tolerance(absolute=9), False),
        ([np.nan], [np.nan], Tolerance(absolute=9), False),
        ([2.0, 100.0], [2.0], Tolerance(absolute=9), False),
        ([3], [3], EXACT, True),
        ([3], [4], EXACT, False),
    ],
)
def test_verdicts(tmp_path: Path, theirs: list, ours: list, tolerance: Tolerance, passed: bool):
    file = golden(tmp_path, a=np.array(theirs))
    file.compare("a", np.array(ours), tolerance)
    assert [row.passed for row in file.finish()] == [passed]


def test_maps_are_compared_sampled_and_first_images_only(tmp_path: Path):
    ours = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype(np.float32)
    theirs = ours.transpose(0, 3, 1, 2)
    file = golden(tmp_path, **{"m@stride3": theirs[:1, :, ::3, ::3], "f64_maxdiff/m": np.float64(1e-5)})
    file.compare_map("m", ours, EXACT)
    (row,) = file.finish()
    assert row.passed
    assert "1.0e-05 from float64" in row.note
    shifted = golden(tmp_path, **{"m@stride3": theirs[:1, :, 1::3, ::3]})
    shifted.compare_map("m", ours, EXACT)
    assert not shifted.finish()[0].passed


def test_layout():
    assert to_nhwc(np.zeros((1, 3, 4, 5), np.float16)).shape == (1, 4, 5, 3)
    assert to_nhwc(np.zeros((1, 3, 4, 5), np.float16)).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "beside", "expected"),
    [
        ("tic_small_N32M48_train", ["tic_small_N32M48", "tic_small_N64M96"], "tic_small_N32M48"),
        ("tic_full_256x512", ["tic_full_weights", "tic_full_256x256"], "tic_full_weights"),
        ("tic_small_N8M8_s3_odd", ["tic_small_N8M8", "tic_small_N8M8_s3"], "tic_small_N8M8_s3"),
    ],
)
def test_weights_lie_beside(tmp_path: Path, name: str, beside: list[str], expected: str):
    for stem in [name, *beside]:
        (tmp_path / f"{stem}.npz").touch()
    assert companion(tmp_path / f"{name}.npz").stem == expected


def test_missing_weights_say_which_file_is_wanted(tmp_path: Path):
    with pytest.raises(GoldenError, match=r"put one of tic_full_weights\.npz, tic_full\.npz"):
        companion(tmp_path / "tic_full_256x256.npz")


def test_unreadable_file(tmp_path: Path):
    (tmp_path / "golden.npz").write_bytes(b"not an archive")
    with pytest.raises(GoldenError, match=r"golden\.npz can not be read"):
        GoldenFile(tmp_path / "golden.npz")
