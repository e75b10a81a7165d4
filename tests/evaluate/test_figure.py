"""Codecs side by side: what stands in which column, and what is drawn on a picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icm_jax.cli import main
from icm_jax.data.image_io import read_image
from icm_jax.evaluate.figure import GAP, LEAST_WIDTH, LINE, columns, layout, write_figures
from icm_jax.evaluate.image_quality import psnr
from icm_jax.evaluate.subjects import Subject
from icm_jax.recognizers.detection.inference import Instances
from icm_jax.tasks.drawing import drawn
from tests.evaluate.toy_bench import colour_logits, toy_judge


def subjects_of(codecs) -> list[Subject]:
    return [Subject(codec.name, codec.quality, codec) for codec in codecs]


def test_a_column_a_codec_on_one_scale_of_bits(fake_codecs, small_photos) -> None:
    photo = small_photos[0]
    original, low, high = columns(Path("a.png"), photo, subjects_of(fake_codecs[::2]), toy_judge(None))
    data = fake_codecs[0].compress(photo)
    decoded = fake_codecs[0].decompress(data)
    logits = colour_logits([decoded])[0]
    assert original.title == "original" and original.map is None and low.title == "fake 1"
    np.testing.assert_array_equal(low.picture, decoded)
    bpp = 8 * len(data) / (photo.shape[0] * photo.shape[1])
    assert low.caption[0] == f"{bpp:.3f} bpp / {psnr(photo, decoded):.2f} dB"
    assert low.caption[1].startswith(f"class {logits.argmax()}, ")
    assert high.map.mean() > low.map.mean()  # three times the bits in the same colours


def test_a_page_holds_every_picture(fake_codecs, small_photos, tmp_path: Path) -> None:
    photo = small_photos[0]
    Image.fromarray(photo).save(tmp_path / "a.png")
    (file,) = write_figures([tmp_path / "a.png"], subjects_of(fake_codecs[:1]), None, tmp_path / "out")
    page = read_image(file)
    height, width = photo.shape[:2]
    left = GAP + max(width, LEAST_WIDTH) + GAP
    decoded = fake_codecs[0].decompress(fake_codecs[0].compress(photo))
    np.testing.assert_array_equal(page[LINE : LINE + height, GAP : GAP + width], photo)
    np.testing.assert_array_equal(page[LINE : LINE + height, left : left + width], decoded)
    made = columns(tmp_path / "a.png", photo, subjects_of(fake_codecs[:1]), None)
    np.testing.assert_array_equal(page, layout(made, (height, width)))


def test_one_command(tmp_path: Path, small_photos, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(small_photos[0]).save(tmp_path / "a.png")
    assert main(["figure", str(tmp_path / "a.png"), "--codecs", "jpeg:30", "-o", str(tmp_path / "f")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "f" / "a.png")
    assert main(["figure", str(tmp_path / "a.png"), "--codecs", "jpeg", "--task", "x", "-o", "f"]) == 2


def test_what_is_drawn() -> None:
    grey = np.full((4, 6, 3), 100, np.uint8)
    classes = np.zeros((4, 6), np.uint8)
    classes[1:3, 2:5] = 3
    shown, words = drawn("semseg", grey, classes)
    assert (shown[classes == 0] == 100).all() and (shown[classes == 3] != 100).any() and words == "1 classes"
    shown, _ = drawn("saliency", grey, np.linspace(0, 1, 24).reshape(4, 6))
    assert shown[0, 0].tolist() == [100] * 3 and shown[-1, -1, 0] > 150 > shown[-1, -1, 1]
    page = np.full((12, 12, 3), 100, np.uint8)
    masks = np.zeros((2, 12, 12), bool)
    masks[:, 5, 5] = True
    boxes = np.array([[0, 0, 11, 11], [3, 3, 8, 8]], np.float32)
    found = Instances(boxes, np.array([0.9, 0.1]), np.array([1, 2]), masks)
    shown, words = drawn("instances", page, found)
    drawn_on = (shown != 100).any(-1)
    assert words == "1 objects" and drawn_on[0].all() and drawn_on[5, 5] and not drawn_on[3:9, 3:5].any()
    assert drawn("depth", grey, classes) == (grey, "")
    assert drawn("detection", None, found) == (None, "1 objects")
