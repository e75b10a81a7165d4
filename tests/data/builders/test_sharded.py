"""Shards: a build goes on where it was interrupted, with the shards whose files are unchanged; damage is found."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from icm_jax.data.builders import shards
from icm_jax.data.builders.build import build
from icm_jax.data.builders.image_sets import Flickr2w
from icm_jax.data.builders.sharded import _locked
from icm_jax.data.datasets import SampleSource, read_set
from icm_jax.errors import IcmError
from tests.data import dummy_archives


@pytest.fixture
def pairs(monkeypatch):
    """Two photos a shard; returns the keys of examples that were made."""
    made: list[str] = []
    original = Flickr2w.example

    def example(self, source):
        made.append(source.key)
        return original(self, source)

    monkeypatch.setattr(Flickr2w, "EXAMPLES_PER_SHARD", 2)
    monkeypatch.setattr(Flickr2w, "example", example)
    return made


def build_photos(root: Path, **options) -> Path:
    return build("flickr2w", root / "in", root / "out", **options)


def test_a_build_goes_on_with_the_shards_it_has(pairs, tmp_path) -> None:
    dummy_archives.photos(tmp_path / "in")
    broken = tmp_path / "in" / "kodim04.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:60])
    with pytest.raises(IcmError, match=r"kodim04\.png"):
        build_photos(tmp_path)
    assert not (tmp_path / "out" / "flickr2w" / "1.0.0").exists()
    broken.write_bytes(whole)
    pairs.clear()
    folder = build_photos(tmp_path)
    assert sorted(pairs) == ["kodim03", "kodim04", "kodim05"]
    source = SampleSource(read_set(folder, "flickr2w"), "train")
    assert len(source) == 5 and len(list(folder.glob("*array_record*"))) == 3
    np.testing.assert_array_equal(source[4]["image"], dummy_archives.picture(4))
    assert [path.name for path in folder.parent.iterdir()] == ["1.0.0"]


def test_shards_of_changed_files_are_built_again(pairs, tmp_path) -> None:
    dummy_archives.photos(tmp_path / "in")
    (tmp_path / "in" / "kodim05.png").write_bytes(b"no photo")
    with pytest.raises(IcmError):
        build_photos(tmp_path)
    dummy_archives.save(tmp_path / "in" / "kodim01.png", dummy_archives.picture(77))
    dummy_archives.save(tmp_path / "in" / "kodim05.png", dummy_archives.picture(4))
    pairs.clear()
    folder = build_photos(tmp_path)
    assert sorted(pairs) == ["kodim01", "kodim02", "kodim05"]
    source = SampleSource(read_set(folder, "flickr2w"), "train")
    np.testing.assert_array_equal(source[0]["image"], dummy_archives.picture(77))


KILLED = """
import os, signal, sys
from pathlib import Path
from icm_jax.data.builders.build import build
from icm_jax.data.builders.image_sets import Flickr2w

def example(self, source, original=Flickr2w.example):
    if source.key == "kodim04":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, source)

Flickr2w.EXAMPLES_PER_SHARD, Flickr2w.example = 2, example
build("flickr2w", Path(sys.argv[1]) / "in", Path(sys.argv[1]) / "out")
"""


def test_a_killed_build_goes_on_too(pairs, tmp_path) -> None:
    dummy_archives.photos(tmp_path / "in")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], cwd=Path(__file__).parents[3], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    left_over = sorted(path.name.split(".")[0] for path in (tmp_path / "out" / "flickr2w").iterdir())
    assert left_over == ["building-1", "incomplete"]
    folder = build_photos(tmp_path)
    assert sorted(pairs) == ["kodim03", "kodim04", "kodim05"]
    assert [path.name for path in folder.parent.iterdir()] == ["1.0.0"]
    assert read_set(folder, "flickr2w").splits == {"train": 5}


def test_the_result_does_not_depend_on_the_number_of_threads(tmp_path) -> None:
    dummy_archives.photos(tmp_path / "in")
    records = []
    for jobs in (1, 3):
        folder = build("flickr2w", tmp_path / "in", tmp_path / f"out{jobs}", jobs=jobs)
        records.append(json.loads((folder / "build.json").read_text())["shards"])
    assert records[0] == records[1]


def test_two_builds_at_once_are_refused(tmp_path) -> None:
    dummy_archives.photos(tmp_path / "in")
    (tmp_path / "out" / "flickr2w").mkdir(parents=True)
    staging = tmp_path / "out" / "flickr2w" / "building-1.0.0"
    with _locked(staging), pytest.raises(IcmError, match="another process builds this data set"):
        build_photos(tmp_path)
    assert build_photos(tmp_path).is_dir()


def test_what_is_built_stays_unless_forced(tmp_path) -> None:
    dummy_archives.photos(tmp_path / "in")
    folder = build_photos(tmp_path)
    dummy_archives.photos(tmp_path / "in", 7)
    with pytest.raises(IcmError, match=r"is there already; .*--force"):
        build_photos(tmp_path)
    assert read_set(folder, "x").splits == {"train": 5}
    (tmp_path / "in" / "kodim07.png").write_bytes(b"no photo")
    with pytest.raises(IcmError, match=r"kodim07\.png"):
        build_photos(tmp_path, force=True)
    assert read_set(folder, "x").splits == {"train": 5}  # until its replacement is whole
    dummy_archives.photos(tmp_path / "in", 7)
    assert read_set(build_photos(tmp_path, force=True), "x").splits == {"train": 7}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_shard_reads_back_and_damage_is_found(tmp_path) -> None:
    path = tmp_path / "shard"
    records = [np.random.default_rng(i).bytes(1000 + i) for i in range(40)]
    written = shards.write_shard(path, records, "sources")
    assert list(shards.read_records(path)) == records and shards.content(path) == written[:2]
    assert shards.finished_shard(path, "sources") == written and shards.finished_shard(path, "others") is None
    data = bytearray(path.read_bytes())
    data[data.index(records[7]) + 500] ^= 1
    path.write_bytes(data)
    with pytest.raises(IcmError, match=r"shard: damaged shard .*build the data set again"):
        shards.content(path)


def test_a_failing_write_leaves_no_shard(tmp_path) -> None:
    def records():
        yield b"one"
        raise IcmError("photo: damaged")

    with pytest.raises(IcmError, match="photo: damaged"):
        shards.write_shard(tmp_path / "shard", records(), "sources")
    assert not list(tmp_path.iterdir())
