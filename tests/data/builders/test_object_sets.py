"""COCO, Open Images and ImageNet: boxes to the last digit, masks to the last pixel, original ids."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from icm_jax.data.builders.build import build
from icm_jax.data.datasets import SampleSource, read_set
from icm_jax.data.run_lengths import decode_mask
from icm_jax.errors import IcmError
from tests.data import dummy_archives


def samples(folder, split: str) -> list[dict]:
    source = SampleSource(read_set(folder, folder.parts[-2]), split)
    return [source[i] for i in range(len(source))]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of annToMask
def test_coco_keeps_ids_boxes_and_the_pixels_that_pycocotools_fills(tmp_path, capsys) -> None:
    written = dummy_archives.coco(tmp_path / "in")
    folder = build("coco_instances", tmp_path / "in", tmp_path / "out", as_is=True)
    assert read_set(folder, "coco").record.facts["categories"] == written["val2017"]["categories"]
    for split, year in (("train", "train2017"), ("validation", "val2017")):
        reference = COCO(tmp_path / "in" / "annotations" / f"instances_{year}.json")
        found = samples(folder, split)
        assert [sample["image_id"] for sample in found] == [image["id"] for image in written[year]["images"]]
        things = {int(thing["id"]): thing for sample in found for thing in sample["objects"]}
        assert len(things) == len(written[year]["annotations"]) == 4 and found[2]["objects"] == []
        for entry in written[year]["annotations"]:
            thing = things[entry["id"]]
            assert thing["category_id"] == entry["category_id"] and thing["is_crowd"] == entry["iscrowd"]
            assert thing["bbox"].tolist() == entry["bbox"] and thing["area"] == entry["area"]
            np.testing.assert_array_equal(decode_mask(thing["segmentation"]), reference.annToMask(entry))
    capsys.readouterr()


def test_one_split_of_coco_is_enough(tmp_path) -> None:
    dummy_archives.coco(tmp_path / "in", ("val2017",))
    built = read_set(build("coco_instances", tmp_path / "in", tmp_path / "out", as_is=True), "coco")
    assert built.splits == {"validation": 3}


def edit_coco(root, edit) -> None:
    file = root / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda c: c["annotations"][0].update(category_id=91),
            r"annotation 10: category 91 is none of the 3 from 1 to 90",
        ),
        (lambda c: c["annotations"][0].pop("bbox"), r"annotation 10 has no 'bbox'"),
        (
            lambda c: c["annotations"][0].update(segmentation=7),
            "annotation 10: mask is 7, neither polygons nor run lengths",
        ),
        (
            lambda c: c["annotations"][1]["segmentation"].update(size=[3, 4]),
            "annotation 11: mask is 4×3, its image 32×24",
        ),
        (
            lambda c: c["images"][0].update(width=40),
            r"000000000001\.jpg: is 32×24, instances_val2017\.json says 40×24",
        ),
        (lambda c: c["images"][0].update(file_name="7.jpg"), r"val2017/7\.jpg: missing"),
        (lambda c: c.pop("annotations"), r"has no 'annotations'; give COCO's instances"),
    ],
)
def test_coco_that_does_not_fit_is_named(edit, message, tmp_path) -> None:
    dummy_archives.coco(tmp_path / "in", ("val2017",))
    edit_coco(tmp_path / "in", edit)
    with pytest.raises(IcmError, match=message):
        build("coco_instances", tmp_path / "in", tmp_path / "out", as_is=True)


def test_coco_without_annotations_says_what_to_extract(tmp_path) -> None:
    (tmp_path / "in" / "annotations").mkdir(parents=True)
    with pytest.raises(IcmError, match=r"extract annotations_trainval2017\.zip there"):
        build("coco_instances", tmp_path / "in", tmp_path / "out")


def test_open_images_keeps_boxes_groups_verified_labels_and_masks(tmp_path) -> None:
    ids = dummy_archives.openimages(tmp_path / "in")
    folder = build("openimages_vcm/segmentation", tmp_path / "in", tmp_path / "out", as_is=True)
    first, second = samples(folder, "validation")
    assert [first["id"], second["id"]] == ids and second["boxes"] == [] and second["masks"] == []
    person, phone = first["boxes"]
    assert person["label"] == "person" and person["bbox"].tolist() == [0.7983871, 0.25, 0.90645164, 1.0]
    assert phone["label"] == "cell_phone" and phone["is_group"] and not person["is_group"]
    assert first["verified"] == [{"label": "person", "is_there": True}]
    assert second["verified"] == [{"label": "person", "is_there": False}]
    mask = decode_mask(first["masks"][0]["segmentation"])
    assert mask.shape == (48, 64) and mask[10:20, 12:40].all() and mask.sum() == 280
    detection = build("openimages_vcm", tmp_path / "in", tmp_path / "out", as_is=True)
    assert detection.parent.name == "detection" and "masks" not in samples(detection, "validation")[0]


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("validation_5k_bbox", "0.7983871", "1.7", r"line 2: the box of 00146ba1e50ed8d8 .* from 0 to 1"),
        ("validation_5k_bbox", "0.7983871", "wide", r"line 2: the box of 00146ba1e50ed8d8"),
        ("validation_5k_bbox", "IsGroupOf", "Group", "has no column IsGroupOf"),
        ("validation_labels_5k", "person,0", "person,2", "line 3: Confidence of 0032257bf3cd56d0 is '2'"),
    ],
)
def test_open_images_tables_that_do_not_fit_are_named(table, old, new, message, tmp_path) -> None:
    dummy_archives.openimages(tmp_path / "in")
    file = tmp_path / "in" / f"detection_{table}.csv"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(IcmError, match=message):
        build("openimages_vcm/detection", tmp_path / "in", tmp_path / "out", as_is=True)


def test_imagenet_numbers_classes_by_the_sorted_names_of_folders(tmp_path) -> None:
    dummy_archives.imagenet(tmp_path / "in")
    folder = build("imagenet", tmp_path / "in", tmp_path / "out", as_is=True)
    train, validation = samples(folder, "train"), samples(folder, "validation")
    assert [sample["label"] for sample in train] == [0, 0, 1, 1, 2, 2]
    assert [sample["id"].split("/")[0] for sample in validation] == read_set(
        folder, "imagenet"
    ).record.classes["label"]
    assert validation[2]["image"].shape == (24, 32, 3)  # stored in grey


def test_imagenet_needs_all_classes(tmp_path) -> None:
    dummy_archives.imagenet(tmp_path / "in")
    with pytest.raises(IcmError, match="has 3 folders of classes, expected 1000"):
        build("imagenet", tmp_path / "in", tmp_path / "out")
    for photo in (tmp_path / "in" / "val" / "n01443537").iterdir():
        photo.unlink()
    (tmp_path / "in" / "val" / "n01443537").rmdir()
    with pytest.raises(IcmError, match="val: has 2 folders of classes, expected 3"):
        build("imagenet", tmp_path / "in", tmp_path / "out", as_is=True)
    with pytest.raises(IcmError, match="neither train/ nor val/"):
        build("imagenet", tmp_path / "in" / "train", tmp_path / "out")
