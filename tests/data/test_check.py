"""Checking a built data set: whole ones are described, damaged shards and impossible labels are named."""

import json

import numpy as np
import pytest

from icm_jax.data.build_record import BUILD_RECORD
from icm_jax.data.builders.build import build
from icm_jax.data.builders.nyud_mt import NyudMt
from icm_jax.data.check import as_table, check_set
from icm_jax.data.datasets import open_set
from icm_jax.errors import IcmError
from tests.data import dummy_archives


@pytest.fixture
def nyud(tmp_path):
    dummy_archives.nyud(tmp_path / "in")
    build("nyud_mt", tmp_path / "in", tmp_path / "out", as_is=True)
    return lambda: open_set("nyud_mt", tmp_path / "out")


def test_a_whole_set_is_described(nyud) -> None:
    train, validation = check_set(nyud())
    assert (train.examples, validation.examples) == (3, 2)
    assert train.smallest == train.largest == (24, 32)
    assert train.valid["depth"] == pytest.approx(22 / 24) and train.valid["normals"] == pytest.approx(23 / 24)
    assert train.seen["semseg"] == 40
    assert "train: 3 examples of 32×24; depth 91.7 % valid" in as_table([train])


def test_objects_are_counted_by_category(tmp_path) -> None:
    dummy_archives.coco(tmp_path / "in")
    build("coco_instances", tmp_path / "in", tmp_path / "out", as_is=True)
    assert [report.seen for report in check_set(open_set("coco_instances", tmp_path / "out"))] == [
        {"category_id": 2}
    ] * 2


def test_a_changed_shard_is_named(nyud) -> None:
    shard = next(nyud().folder.glob("*train.array_record*"))
    data = bytearray(shard.read_bytes())
    place = data.index(b"\xff\xd8\xff") + 100  # inside a photo, which array_record stores as it is
    data[place] ^= 1
    shard.write_bytes(data)
    with pytest.raises(IcmError, match=rf"{shard.name}: damaged shard"):
        check_set(nyud())


def test_a_shard_of_another_build_is_named(nyud) -> None:
    folder = nyud().folder
    one, other = (next(folder.glob(f"*{split}.array_record*")) for split in ("train", "validation"))
    one.write_bytes(other.read_bytes())
    with pytest.raises(IcmError, match=r"holds 2 records of digest .*, built were 3 of .*; build .* --force"):
        check_set(nyud())


def test_fewer_classes_than_the_labels_have_are_named(nyud) -> None:
    path = nyud().folder / BUILD_RECORD
    record = json.loads(path.read_text())
    record["classes"]["semseg"] = record["classes"]["semseg"][:7]
    path.write_text(json.dumps(record))
    with pytest.raises(IcmError, match=r"train sample 0001: semseg has class \d+, the limit is 6"):
        check_set(nyud())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("depth", np.full((24, 32), -1, np.float32), "depth is not finite metres"),
        ("depth", np.ones((24, 30), np.float32), r"depth is 30×24, its image 32×24"),
        ("normals", np.full((24, 32, 3), 2, np.float32), "normals have lengths up to 3.46"),
    ],
)
def test_impossible_labels_are_named(name, value, message, tmp_path, monkeypatch) -> None:
    original = NyudMt.example
    monkeypatch.setattr(NyudMt, "example", lambda self, source: {**original(self, source), name: value})
    dummy_archives.nyud(tmp_path / "in")
    build("nyud_mt", tmp_path / "in", tmp_path / "out", as_is=True)
    with pytest.raises(IcmError, match=f"train sample 0001: {message}"):
        check_set(open_set("nyud_mt", tmp_path / "out"))
