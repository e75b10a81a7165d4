"""Classical anchors: real files that decode by themselves, byte targets, refusals."""

import importlib

import numpy as np
import pytest

from icm_jax.data.samples import sample_images
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import ANCHORS, available, encode_to_size, get_anchor, remembering
from icm_jax.evaluate.image_quality import psnr

RUNNABLE = available()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return sample_images()[0].image[60:220, 120:312]


def _need(name: str) -> None:
    if name not in RUNNABLE:
        pytest.skip(f"anchor {name} cannot run in this installation")


def test_pillow_anchors_are_always_there() -> None:
    assert {"jpeg", "webp"} <= set(RUNNABLE)
    assert all(anchor.name == name for name, anchor in ANCHORS.items())


@pytest.mark.parametrize("name", ANCHORS)
def test_round_trip_and_order_of_qualities(name: str, photo: np.ndarray) -> None:
    _need(name)
    anchor = ANCHORS[name]
    assert set(anchor.sweep) <= set(anchor.qualities)
    files = [anchor.encode(photo, quality) for quality in (anchor.sweep[1], anchor.sweep[-1])]
    scores = [psnr(photo, anchor.decode(data)) for data in files]
    assert len(files[0]) < len(files[1])
    assert 20 < scores[0] < scores[1]


@pytest.mark.parametrize("name", ANCHORS)
@pytest.mark.parametrize("cut", [(63, 64), (64, 63), (61, 63)])
def test_odd_sizes(name: str, cut: tuple[int, int], photo: np.ndarray) -> None:
    _need(name)
    image = np.ascontiguousarray(photo[: cut[0], : cut[1]])
    decoded = ANCHORS[name].decode(ANCHORS[name].encode(image, ANCHORS[name].sweep[-1]))
    assert decoded.shape == image.shape
    assert decoded.dtype == np.uint8
    assert psnr(image, decoded) > 28


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_encode_to_size_is_the_largest_that_fits(name: str, photo: np.ndarray) -> None:
    _need(name)
    anchor = remembering(ANCHORS[name], photo)
    result = encode_to_size(anchor, photo, 3000)
    assert result.fits and len(result.data) <= 3000
    following = anchor.qualities[anchor.qualities.index(result.quality) + 1]
    assert len(anchor.encode(photo, following)) > 3000


def test_encode_to_size_at_both_ends(photo: np.ndarray) -> None:
    anchor = ANCHORS["jpeg"]
    smallest = encode_to_size(anchor, photo, 10)
    assert not smallest.fits and smallest.quality == anchor.qualities[0] and len(smallest.data) > 10
    assert encode_to_size(anchor, photo, 10**9).quality == anchor.qualities[-1]


def test_remembering_encodes_each_quality_once(photo: np.ndarray) -> None:
    calls: list[int] = []
    base = ANCHORS["jpeg"]

    def counted(image: np.ndarray, quality: int) -> bytes:
        calls.append(quality)
        return base.encode(image, quality)

    anchor = remembering(type(base)(**{**vars(base), "encode": counted}), photo)
    first, second = (encode_to_size(anchor, photo, 4000) for _ in range(2))
    assert first == second
    assert len(calls) == len(set(calls))
    other = photo[::-1].copy()
    assert anchor.encode(other, 50) == base.encode(other, 50) != base.encode(photo, 50)


def test_anchor_at_a_quality_looks_like_a_codec(photo: np.ndarray) -> None:
    coder = ANCHORS["webp"].at(40)
    assert (coder.name, coder.quality) == ("webp", 40)
    assert coder.hash.startswith("pillow-")
    assert coder.decompress(coder.compress(photo)).shape == photo.shape


def test_unknown_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IcmError, match=r"'bpg'.*jpeg"):
        get_anchor("bpg")
    real_import = importlib.import_module

    def no_extras(name: str, package: str | None = None):
        if name in ("imagecodecs", "imageio_ffmpeg"):
            raise ImportError(name)
        return real_import(name, package)

    monkeypatch.setattr(importlib, "import_module", no_extras)
    for name in ("jxl", "hevc", "vvc"):
        with pytest.raises(IcmError, match=r"icm-jax\[anchors\]"):
            get_anchor(name)
    assert {"jxl", "hevc", "vvc"}.isdisjoint(available())


@pytest.mark.parametrize("name", ["hevc", "vvc"])
def test_video_codecs_say_why_they_refuse(name: str) -> None:
    _need(name)
    with pytest.raises(IcmError, match=f"{name} could not decode"):
        ANCHORS[name].decode(b"\x00\x00\x00\x01 not a stream")


def test_x265_writes_no_settings_and_keeps_the_qp(photo: np.ndarray) -> None:
    _need("hevc")
    data = ANCHORS["hevc"].encode(photo[:64, :64], 51)
    assert b"x265" not in data and len(data) < 200
