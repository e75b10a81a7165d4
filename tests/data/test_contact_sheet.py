"""Contact sheets: one page without outside parts, labels in the colours of their legend."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from icm_jax.data.builders.build import build
from icm_jax.data.contact_sheet import write_contact_sheet
from icm_jax.data.datasets import open_set
from icm_jax.data.label_pictures import class_colours, draw_things, label_picture
from icm_jax.data.run_lengths import encode_mask
from icm_jax.errors import IcmError
from tests.data import dummy_archives

ARCHIVES = {
    "nyud_mt": (dummy_archives.nyud, ("image", "semseg", "edge", "depth", "normals")),
    "pascal_mt": (dummy_archives.pascal, ("image", "semseg", "human_parts", "sal", "edge", "normals")),
    "coco_instances": (dummy_archives.coco, ("image", "objects")),
    "openimages_vcm/segmentation": (dummy_archives.openimages, ("image", "boxes", "masks")),
    "imagenet": (dummy_archives.imagenet, ("image",)),
    "image_folder/mine": (dummy_archives.photos, ("image",)),
}


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_every_label_is_drawn_on_one_page(name, tmp_path) -> None:
    write, labels = ARCHIVES[name]
    write(tmp_path / "in")
    build(name, tmp_path / "in", tmp_path / "out", as_is=True)
    write_contact_sheet(open_set(name, tmp_path / "out"), tmp_path / "page.html", count=2)
    page = (tmp_path / "page.html").read_text()
    assert re.findall(r"<figcaption>(.*?)</figcaption>", page)[: len(labels)] == list(labels)
    pictures = re.findall(r'src="data:image/webp;base64,(.*?)"', page)
    assert len(pictures) == 2 * len(labels) and page.count("<section>") == 2
    for picture in pictures:
        assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (32, 24)
    assert "http" not in page and "<script" not in page and "Built as is" in page


def test_names_of_classes_are_shown(tmp_path) -> None:
    dummy_archives.imagenet(tmp_path / "in")
    build("imagenet", tmp_path / "in", tmp_path / "out", as_is=True)
    built = open_set("imagenet", tmp_path / "out")
    write_contact_sheet(built, tmp_path / "page.html", "validation")
    assert "label 2 (n15075141)" in (tmp_path / "page.html").read_text()
    with pytest.raises(IcmError, match="no split 'test'"):
        write_contact_sheet(built, tmp_path / "page.html", "test")


def test_classes_have_colours_of_their_own() -> None:
    colours = class_colours(256)
    assert len(np.unique(colours, axis=0)) == 256
    assert colours[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    picture = label_picture("semseg", np.array([[0, 1], [255, 2]], np.uint8))
    assert picture[0, 1].tolist() == [128, 0, 0] and picture[1, 0].tolist() == [64, 64, 64]


def test_depth_runs_from_light_to_dark_and_holes_are_grey() -> None:
    picture = label_picture("depth", np.array([[0, 1, 2, 5]], np.float32)).astype(int)
    assert picture[0, 0].tolist() == [64, 64, 64]
    assert (np.diff(picture[0, 1:].sum(-1)) < 0).all()


def test_normals_towards_the_viewer_are_blue() -> None:
    picture = label_picture("normals", np.array([[[0, 0, 1], [0, 0, 0]]], np.float32))
    assert picture[0].tolist() == [[128, 128, 255], [64, 64, 64]]


def test_boxes_and_masks_are_drawn_where_they_are() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:50] = True
    drawn = draw_things(image, [{"box": [5, 5, 25, 35], "segmentation": encode_mask(mask)}], ["dog"])
    changed = (drawn != image).any(-1)
    assert changed[5, 10] and changed[20, 5] and changed[15, 40]
    assert not changed[:4].any() and not changed[30, 30:].any()
