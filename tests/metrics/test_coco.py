"""COCO average precision: the golden set in shares, images without detections, and what is refused."""

import json
import sys
from pathlib import Path

import pytest

from icm_jax.errors import IcmError
from icm_jax.metrics import CocoDetections, merge_all

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
TRUTH = GOLDEN / "coco_gt.json"


@pytest.fixture(scope="module")
def shares() -> list[CocoDetections]:
    """One counter an image."""
    pytest.importorskip("pycocotools")
    detections = json.loads((GOLDEN / "coco_dt.json").read_text())
    images = [image["id"] for image in json.loads(TRUTH.read_text())["images"]]
    return [
        CocoDetections.empty().update(image, [found for found in detections if found["image_id"] == image])
        for image in images
    ]


def test_the_order_of_images_does_not_matter(
    shares: list[CocoDetections], capsys: pytest.CaptureFixture[str]
):
    expected = json.loads((GOLDEN / "coco_expected.json").read_text())
    for order in (shares, shares[::-1]):
        assert merge_all(order).compute(TRUTH) == pytest.approx(expected["bbox"], abs=1e-12)
    assert capsys.readouterr().out == ""


def test_images_without_detections_lower_recall(shares: list[CocoDetections]):
    found = merge_all(shares[1:]).update(shares[0].image_ids[0], [])
    assert found.compute(TRUTH).ar100 < merge_all(shares).compute(TRUTH).ar100
    nothing = CocoDetections.empty().update(shares[0].image_ids[0], [])
    assert nothing.compute(TRUTH).ap == 0


def test_only_images_added_are_scored(shares: list[CocoDetections]):
    assert shares[2].compute(TRUTH) != merge_all(shares).compute(TRUTH)
    assert shares[2].compute(TRUTH).ap > 0


def test_images_counted_twice_or_unknown(shares: list[CocoDetections]):
    with pytest.raises(IcmError, match="counted twice"):
        shares[0].merge(shares[0])
    with pytest.raises(IcmError, match="image 77 is not among the 8"):
        CocoDetections.empty().update(77, []).compute(TRUTH)
    with pytest.raises(IcmError, match="no image was added"):
        CocoDetections.empty().compute(TRUTH)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(IcmError, match=r"icm-jax\[eval\]"):
        CocoDetections.empty().update(1, []).compute(TRUTH)
