"""PASCAL-Context: labels read back exactly, those made here follow their definitions, what does not fit is named."""

import numpy as np
import pytest
from scipy.io import savemat

from icm_jax.data.builders.build import build
from icm_jax.data.builders.pascal_mt import WITH_NORMALS, boundaries
from icm_jax.data.datasets import SampleSource, read_set
from icm_jax.errors import IcmError
from tests.data import dummy_archives


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("pascal")
    written = dummy_archives.pascal(root / "in")
    folder = build("pascal_mt", root / "in", root / "out", as_is=True, jobs=2)
    sources = [SampleSource(read_set(folder, "pascal_mt"), split) for split in ("train", "validation")]
    return written, {
        sample["id"]: sample for source in sources for sample in map(source.__getitem__, range(len(source)))
    }


def test_labels_read_back_exactly(built) -> None:
    written, samples = built
    assert len(samples) == len(written) == 5
    for key, expected in written.items():
        for name in ("semseg", "human_parts", "sal"):
            np.testing.assert_array_equal(samples[key][name], expected[name])
        assert samples[key]["has_people"] == bool(expected["human_parts"].any())
    assert sorted(samples[key]["has_people"] for key in written) == [False, False, True, True, True]


def test_normals_count_where_the_class_is_known_indoors(built) -> None:
    written, samples = built
    for key, expected in written.items():
        pixels, normals = expected["normals"].astype(float), samples[key]["normals"]
        counts = (expected["context"] == 284) & (np.abs(pixels - 127.5) > 1).any(-1)
        assert (normals[~counts] == 0).all() and counts.any() and not counts.all()
        np.testing.assert_allclose(normals[counts], 2 * pixels[counts] / 255 - 1, atol=1e-7)
    assert len(WITH_NORMALS) == len(set(WITH_NORMALS)) == 170 and 427 in WITH_NORMALS


def test_boundaries_are_thin_lines_along_changes_of_class(built) -> None:
    written, samples = built
    for key, expected in written.items():
        np.testing.assert_array_equal(samples[key]["edge"], boundaries(expected["context"]))
    label = np.zeros((8, 8), np.uint16)
    label[:, 4:] = 7
    lines = boundaries(label)
    assert (lines.sum(axis=1) <= 1).all() and lines[:, 3:5].sum() >= 6 and lines.sum() == lines[:, 3:5].sum()


def test_vocs_own_classes_come_before_those_made_from_context(tmp_path) -> None:
    written = dummy_archives.pascal(tmp_path / "in")
    other = np.full((24, 32), 20, np.uint8)
    folder = tmp_path / "in" / "PASCAL_MT" / "semseg"
    dummy_archives.save_palette(folder / "pascal-context" / "2008_000001.png", other)  # has one of VOC12 too
    built = build("pascal_mt", tmp_path / "in", tmp_path / "out", as_is=True)
    sample = SampleSource(read_set(built, "pascal_mt"), "train", ["semseg"])[0]
    np.testing.assert_array_equal(sample["semseg"], written["2008_000001"]["semseg"])
    assert set(sample) == {"id", "semseg"}


def damage(folder, what: str) -> None:
    """Makes one file of example 2008_000002 unfit."""
    key = "2008_000002"
    match what:
        case "missing":
            (folder / "sal_distill" / f"{key}.png").unlink()
        case "class":
            dummy_archives.save(
                folder / "semseg" / "pascal-context" / f"{key}.png", np.full((24, 32), 21, np.uint8)
            )
        case "size":
            dummy_archives.save(folder / "normals_distill" / f"{key}.png", np.zeros((24, 30, 3), np.uint8))
        case "context":
            savemat(
                folder / "pascal-context" / "trainval" / f"{key}.mat", {"LabelMap": np.full((24, 32), 460)}
            )
        case "part":
            parts = {"tail": np.ones((24, 32), bool)}
            dummy_archives._save_parts(folder / "human_parts" / f"{key}.mat", parts, with_people=True)
        case "mask":
            parts = {"head": np.ones((24, 31), bool)}
            dummy_archives._save_parts(folder / "human_parts" / f"{key}.mat", parts, with_people=True)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"sal_distill/2008_000002\.png: missing"),
        ("class", r"semseg/pascal-context/2008_000002\.png: label has class 21, the limits are 0 to 20"),
        ("size", r"normals_distill/2008_000002\.png: label is 30×24"),
        ("context", r"trainval/2008_000002\.mat: LabelMap .* goes up to 460, expected classes"),
        ("part", r"human_parts/2008_000002\.mat: a person has the part 'tail'"),
        ("mask", r"human_parts/2008_000002\.mat: label is 31×24, its image 2008_000002\.jpg is 32×24"),
    ],
)
def test_what_does_not_fit_is_named(what, message, tmp_path) -> None:
    dummy_archives.pascal(tmp_path / "in")
    damage(tmp_path / "in" / "PASCAL_MT", what)
    with pytest.raises(IcmError, match=message):
        build("pascal_mt", tmp_path / "in", tmp_path / "out", as_is=True)
