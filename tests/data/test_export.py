"""Data sets as files: what the tasks of `icm eval` read is what was stored."""

import numpy as np
import pytest

from icm_jax import cli
from icm_jax.data.builders.build import build
from icm_jax.data.datasets import SampleSource, open_set
from icm_jax.data.export import export_split
from icm_jax.data.image_io import list_images, read_image
from icm_jax.errors import IcmError
from icm_jax.tasks.registry import get_task
from tests.data import dummy_archives

FOLDERS = {"semseg": "semseg", "human_parts": "human_parts", "saliency": "sal", "boundary": "edge"}
NYUD = {"semseg-nyud": "semseg", "depth": "depth", "normals": "normals", "boundary-nyud": "edge"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    makers = {"nyud_mt": dummy_archives.nyud, "pascal_mt": dummy_archives.pascal}
    makers |= {"imagenet": dummy_archives.imagenet, "coco_instances": dummy_archives.coco}
    for name, make in makers.items():
        make(root / name)
        build(name, root / name, root / "out", as_is=True)
    return root / "out"


@pytest.mark.parametrize(("name", "folders"), [("pascal_mt", FOLDERS), ("nyud_mt", NYUD)])
def test_tasks_read_what_was_stored(name: str, folders: dict[str, str], data_dir, tmp_path) -> None:
    built = open_set(name, data_dir)
    assert export_split(built, "validation", tmp_path) == 2
    photos = list_images(tmp_path / "images")
    samples = SampleSource(built, "validation")
    for photo, sample in zip(photos, (samples[i] for i in range(2)), strict=True):
        np.testing.assert_array_equal(read_image(photo), sample["image"])
        for task, folder in folders.items():
            label = get_task(task).open_labels(tmp_path / folder).of(photo, sample["image"].shape[:2])
            stored = sample[folder] > 127 if folder == "sal" else sample[folder]
            if task == "human_parts" and not stored.any():
                assert (label == 255).all()
            elif task in ("depth", "normals"):
                known = np.any(np.atleast_3d(stored) != 0, axis=-1)
                np.testing.assert_allclose(label[known], stored[known], rtol=1e-6)
            else:
                np.testing.assert_array_equal(label, stored)


def test_one_size_for_all(data_dir, tmp_path) -> None:
    place = ["--data-dir", str(data_dir), "-o", str(tmp_path), "--split", "train", "--limit", "2"]
    assert cli.main(["data", "export", "nyud_mt", "--size", "16", "20", *place]) == 0
    photos = list_images(tmp_path / "images")
    assert [read_image(photo).shape for photo in photos] == [(16, 20, 3)] * 2
    normals = np.load(tmp_path / "normals" / f"{photos[0].stem}.npy")
    lengths = np.linalg.norm(normals, axis=-1)
    assert normals.shape == (16, 20, 3) and (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()


def test_classes_are_a_table(data_dir, tmp_path) -> None:
    assert export_split(open_set("imagenet", data_dir), "validation", tmp_path) == 3
    labels = get_task("classification").open_labels(tmp_path / "labels.csv")
    assert [labels.of(photo, (0, 0)) for photo in list_images(tmp_path / "images")] == [0, 1, 2]


def test_lists_of_things_are_read_as_they_are_published(data_dir, tmp_path) -> None:
    with pytest.raises(IcmError, match="coco_instances holds image_id, objects, which are no maps"):
        export_split(open_set("coco_instances", data_dir), "validation", tmp_path)
