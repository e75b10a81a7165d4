"""Codecs named in one line of text each."""

import numpy as np
import pytest

from icm_jax.adapters import store
from icm_jax.data.samples import sample_images
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import ANCHORS
from icm_jax.evaluate.subjects import SYNTAX, AdaptedCodec, chosen_picture, file_extension, load_subjects
from tests.adapters.test_adapted_codec import adapter
from tests.tiny import tiny_codec


def points(*texts: str) -> list[tuple[str, float]]:
    return [(subject.curve, subject.quality) for subject in load_subjects(texts)]


def test_a_classical_codec_at_its_sweep_or_at_qualities() -> None:
    assert points("jpeg") == [("jpeg", quality) for quality in ANCHORS["jpeg"].sweep]
    assert points("old=jpeg:30,10", "webp:0") == [("old", 30), ("old", 10), ("webp", 0)]


def test_a_rate_is_searched_for_every_image() -> None:
    (subject,) = load_subjects(["jpeg@0.5"])
    assert subject[:2] == ("jpeg-at-rate", 0.5) and file_extension(subject.codec) == "jpg"
    for sample in sample_images()[:2]:
        image = sample.image[:128, :160]
        bpp = 8 * len(subject.codec.compress(image)) / (128 * 160)
        assert 0.42 < bpp <= 0.5
        assert subject.codec.decompress(subject.codec.compress(image)).shape == image.shape


def test_included_codecs_and_folders(tmp_path) -> None:
    assert points("tic-lite:1,3") == [("tic-lite", 1), ("tic-lite", 3)]
    for quality in ("q1", "q10"):
        tiny_codec().save(tmp_path / quality)
    with pytest.raises(IcmError, match="curve 'tiny' has quality 1 twice"):
        load_subjects([str(tmp_path)])
    (subject,) = load_subjects([f"mine={tmp_path / 'q1'}"])
    assert subject[:2] == ("mine", 1) and file_extension(subject.codec) == "icm"
    with pytest.raises(IcmError, match="has no quality 4; choose from 1"):
        load_subjects([f"{tmp_path / 'q1'}:4"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jpeg:200", "jpeg has no quality 200; choose from 1 to 95"),
        ("tic-lite@0.5", "for a classical codec"),
        ("jpeg@0", "above 0"),
        ("no-such-codec", "neither a folder nor one that is included"),
        ("tic-lite:1+missing.safetensors", "neither a folder"),
        ("", "not understood"),
    ],
)
def test_what_can_not_be_measured(text: str, message: str) -> None:
    with pytest.raises(IcmError, match=message):
        load_subjects([text])


def test_parts_of_a_text() -> None:
    match = SYNTAX.fullmatch("All-in-One=runs/a=b/q1+runs/x.icma#semseg:1,2@0.5")
    assert match is not None
    assert match.groupdict() == {
        "curve": "All-in-One",
        "point": None,
        "name": "runs/a=b/q1",
        "adapter": "runs/x.icma",
        "picture": "semseg",
        "qualities": "1,2",
        "rates": "0.5",
    }


class ThreePictures:
    """A codec whose streams hold a picture for every task."""

    name, quality, hash, pictures = "base", 3, "cafe", ("shared", "semseg", "sal")

    class adapter:
        name, hash = "tasks", "beef"

    def decompress_pictures(self, data: bytes) -> dict[str, np.ndarray]:
        return {name: np.full((1, 1, 3), i, np.uint8) for i, name in enumerate(self.pictures)}


def test_an_adapter_gives_the_picture_of_the_task() -> None:
    codec = AdaptedCodec(ThreePictures(), "semseg")
    assert codec.decompress(b"").max() == 1
    assert codec.name == "base+tasks" and codec.hash == "cafe+beef#semseg"


def test_adapters_on_one_codec_make_a_curve_of_numbered_points(tmp_path) -> None:
    tiny_codec().save(tmp_path / "base")
    for seed in (1, 2):
        store.save(adapter(f"det{seed}", seed=seed), tmp_path / f"{seed}.safetensors")
    texts = [f"det/{seed}={tmp_path / 'base'}+{tmp_path / f'{seed}.safetensors'}" for seed in (1, 2)]
    first, second = load_subjects(texts)
    assert (first[:2], second[:2]) == (("det", 1), ("det", 2))
    assert first.codec.name == "tiny+det1" and first.codec.hash != second.codec.hash
    image = sample_images()[0].image[:40, :60]
    assert first.codec.decompress(first.codec.compress(image)).shape == image.shape
    with pytest.raises(IcmError, match="numbers one point, 8 stand behind it"):
        load_subjects(["det/1=jpeg"])


@pytest.mark.parametrize(
    ("named", "task", "picture"),
    [
        (None, "semseg", "semseg"),
        (None, "saliency", "sal"),
        (None, "semseg-nyud", "semseg"),
        (None, "classification", "shared"),
        (None, "", "shared"),
        ("sal", "semseg", "sal"),
    ],
)
def test_which_picture(named: str | None, task: str, picture: str) -> None:
    assert chosen_picture("x", ThreePictures(), named, task) == picture


def test_pictures_that_are_not_there() -> None:
    with pytest.raises(IcmError, match="'x' has no picture 'depth'; choose one of shared, semseg, sal"):
        chosen_picture("x", ThreePictures(), "depth", "")
