"""Opening what was built: by name, by configuration, and what is said when it is not there."""

import json

import numpy as np
import pytest

from icm_jax.data.builders.build import build
from icm_jax.data.datasets import SampleSource, find_sets, open_set
from icm_jax.errors import IcmError
from tests.data import dummy_archives


@pytest.fixture
def data_dir(tmp_path):
    for archive in ("mti_net", "invpt"):
        dummy_archives.nyud(tmp_path / archive, archive)
        build("nyud_mt", tmp_path / archive, tmp_path / "out", as_is=True)
    dummy_archives.photos(tmp_path / "photos")
    build("flickr2w", tmp_path / "photos", tmp_path / "out")
    return tmp_path / "out"


def test_sets_are_found_by_name(data_dir) -> None:
    assert len(find_sets(data_dir)) == 3
    assert open_set("flickr2w", data_dir).splits == {"train": 5}
    assert open_set("nyud_mt/invpt", data_dir).record.facts == {"archive": "invpt"}
    with pytest.raises(IcmError, match="built as nyud_mt/invpt and nyud_mt/mti_net; name one of them"):
        open_set("nyud_mt", data_dir)
    with pytest.raises(IcmError, match=r"coco_instances is not built there, but flickr2w, .*icm data build"):
        open_set("coco_instances", data_dir)


def test_the_place_of_tfds_is_the_default(data_dir, monkeypatch) -> None:
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(data_dir))
    assert open_set("flickr2w").folder == data_dir / "flickr2w" / "1.0.0"


def test_only_wanted_features_are_read(data_dir) -> None:
    built = open_set("nyud_mt/mti_net", data_dir)
    sample = SampleSource(built, "train", ["depth"])[0]
    assert set(sample) == {"id", "depth"} and sample["id"] == "0001"
    assert repr(SampleSource(built, "train")) == "SampleSource('nyud_mt/mti_net', 'train', 3)"
    with pytest.raises(IcmError, match="has no 'sal'; choose of"):
        SampleSource(built, "train", ["sal"])


def test_samples_may_be_read_in_any_order(data_dir) -> None:
    source = SampleSource(open_set("flickr2w", data_dir), "train")
    for i in (3, 0, 3):
        np.testing.assert_array_equal(source[i]["image"], dummy_archives.picture(i))


def test_damaged_records_of_a_build_are_named(data_dir) -> None:
    folder = open_set("flickr2w", data_dir).folder
    (folder / "dataset_info.json").write_text("{")
    with pytest.raises(IcmError, match="not a readable data set"):
        open_set("flickr2w", data_dir)
    (folder / "build.json").write_text(json.dumps({"as": 1}))
    with pytest.raises(IcmError, match=r"build\.json: not a readable record of a build"):
        open_set("flickr2w", data_dir)
