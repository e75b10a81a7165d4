"""NYUD-v2: each archive is recognised and read back exactly; what does not fit is named."""

import numpy as np
import pytest
from scipy.io import savemat

from icm_jax.data.builders.build import build
from icm_jax.data.datasets import SampleSource, read_set
from icm_jax.data.image_io import read_image
from icm_jax.errors import IcmError
from tests.data import dummy_archives

ROOT = {"mti_net": "NYUD_MT", "astmt": "NYUD_MT", "invpt": "NYUDv2"}


def samples(folder, split: str) -> dict[str, dict]:
    source = SampleSource(read_set(folder, "nyud_mt"), split)
    return {sample["id"]: sample for sample in (source[i] for i in range(len(source)))}


@pytest.mark.parametrize("archive", ["mti_net", "astmt", "invpt"])
def test_reads_back_what_the_archive_holds(archive, tmp_path) -> None:
    written = dummy_archives.nyud(tmp_path / "in", archive)
    folder = build("nyud_mt", tmp_path / "in", tmp_path / "out", as_is=True)
    assert folder.parent.name == archive
    train, validation = samples(folder, "train"), samples(folder, "validation")
    assert list(train) == ["0001", "0002", "0005"] and list(validation) == ["0003", "0004"]
    for key, sample in (train | validation).items():
        expected = written[key]
        photo = next((tmp_path / "in" / ROOT[archive] / "images").glob(f"{key}.*"))
        np.testing.assert_array_equal(sample["image"], read_image(photo))
        stored = expected["segmentation"]
        shifted = stored if archive == "astmt" else np.where(stored == 0, 255, stored - 1)
        np.testing.assert_array_equal(sample["semseg"], shifted)
        np.testing.assert_array_equal(sample["depth"], expected["depth"])
        np.testing.assert_array_equal(sample["edge"], expected["edge"])
        assert sample["depth"].dtype == sample["normals"].dtype == np.float32
        if archive == "mti_net":
            np.testing.assert_array_equal(sample["normals"], expected["normals"])
        else:  # 8 bits an entry
            np.testing.assert_allclose(sample["normals"], expected["normals"], atol=1 / 255 + 1e-6)
            assert (sample["normals"][0] == 0).all()


def test_number_of_classes_follows_the_archive(tmp_path) -> None:
    for archive, count in (("mti_net", 40), ("astmt", 41)):
        dummy_archives.nyud(tmp_path / archive, archive)
        folder = build("nyud_mt", tmp_path / archive, tmp_path / "out", as_is=True)
        assert len(read_set(folder, "nyud_mt").record.classes["semseg"]) == count


def test_the_other_archive_is_refused_where_one_is_asked_for(tmp_path) -> None:
    dummy_archives.nyud(tmp_path / "in", "astmt")
    with pytest.raises(
        IcmError, match="holds another variant, astmt, not mti_net; extract the archive of mti_net"
    ):
        build("nyud_mt/mti_net", tmp_path / "in", tmp_path / "out", as_is=True)


def test_an_archive_of_neither_kind_is_described(tmp_path) -> None:
    dummy_archives.nyud(tmp_path / "in", "mti_net")
    (tmp_path / "in" / "NYUD_MT" / "depth" / "0001.npy").rename(
        tmp_path / "in" / "NYUD_MT" / "depth" / "0001.tif"
    )
    with pytest.raises(IcmError, match=r"depth/0001\.tif.* fits no archive known .*mti_net: images/ID\.jpg"):
        build("nyud_mt", tmp_path / "in", tmp_path / "out", as_is=True)


def test_an_archive_has_to_be_extracted(tmp_path) -> None:
    (tmp_path / "NYUD_MT.tgz").write_bytes(b"")
    with pytest.raises(IcmError, match=r"gt_sets/train\.txt.*extract NYUD_MT\.tgz there first"):
        build("nyud_mt", tmp_path, tmp_path / "out")


def test_published_counts_are_asked_for(tmp_path) -> None:
    dummy_archives.nyud(tmp_path / "in")
    with pytest.raises(IcmError, match=r"found 3 examples of train, the published set has 795; .*--as-is"):
        build("nyud_mt", tmp_path / "in", tmp_path / "out")


def damage(folder, what: str) -> None:
    """Makes one file of example 0002 unfit."""
    match what:
        case "missing":
            (folder / "depth" / "0002.npy").unlink()
        case "size":
            np.save(folder / "depth" / "0002.npy", np.ones((12, 32), np.float32))
        case "class":
            dummy_archives.save(folder / "segmentation" / "0002.png", np.full((24, 32), 41, np.uint8))
        case "photo":
            (folder / "images" / "0002.jpg").write_bytes(b"\xff\xd8 no photo")
        case "negative":
            np.save(folder / "depth" / "0002.npy", np.full((24, 32), -1, np.float32))
        case "normals":
            np.save(folder / "normals" / "0002.npy", np.full((24, 32, 3), 127, np.float32))
        case "pickle":
            np.save(folder / "edge" / "0002.npy", np.array([None]), allow_pickle=True)
        case "twice":
            (folder / "gt_sets" / "train.txt").write_text("0001\n0002\n0001\n")
        case "list":
            (folder / "gt_sets" / "val.txt").write_text("\n")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"depth/0002\.npy: missing, train example 0002 needs it"),
        ("size", r"depth/0002\.npy: label is 32×12, its image 0002\.jpg is 32×24"),
        ("class", r"segmentation/0002\.png: label has class 41, the limits are 0 to 40"),
        ("photo", r"images/0002\.jpg: not an image"),
        ("negative", r"depth/0002\.npy: .*finite metres"),
        ("normals", r"normals/0002\.npy: normals have lengths up to 220"),
        ("pickle", r"edge/0002\.npy: not a readable label"),
        ("twice", "0001 is listed twice in train"),
        ("list", r"val\.txt: an empty list"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_left_as_built(what, message, tmp_path) -> None:
    dummy_archives.nyud(tmp_path / "in")
    damage(tmp_path / "in" / "NYUD_MT", what)
    with pytest.raises(IcmError, match=message):
        build("nyud_mt", tmp_path / "in", tmp_path / "out", as_is=True)
    assert not list(tmp_path.glob("out/**/dataset_info.json")) and not list(
        tmp_path.glob("out/**/incomplete*")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"depht": np.ones((24, 32))}, r"0002\.mat: has no variable 'depth' but depht"),
        (b"no matlab", r"0002\.mat: not a readable MATLAB file"),
    ],
)
def test_matlab_files_that_do_not_fit_are_named(content, message, tmp_path) -> None:
    dummy_archives.nyud(tmp_path / "in", "astmt")
    file = tmp_path / "in" / "NYUD_MT" / "depth" / "0002.mat"
    savemat(file, content) if isinstance(content, dict) else file.write_bytes(content)
    with pytest.raises(IcmError, match=message):
        build("nyud_mt", tmp_path / "in", tmp_path / "out", as_is=True)
