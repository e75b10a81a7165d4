"""One image through one codec: what is counted and from where it is decoded."""

from pathlib import Path

import numpy as np
import pytest

from icm_jax.evaluate.anchors import ANCHORS
from icm_jax.evaluate.image_quality import ms_ssim, psnr
from icm_jax.evaluate.measure import measure, warm_up


def test_scores_are_of_the_file(fake_codecs, small_photos, tmp_path: Path) -> None:
    codec, image = fake_codecs[1], small_photos[2]
    measured = measure(codec, image, tmp_path / "photo.icm")
    assert (tmp_path / "photo.icm").read_bytes() == measured.data == codec.compress(image)
    scores = measured.scores
    assert (scores.height, scores.width) == image.shape[:2]
    assert scores.bytes == len(measured.data)
    assert scores.bpp == pytest.approx(8 * len(measured.data) / image[..., 0].size)
    assert scores.psnr == psnr(image, measured.decoded)
    assert scores.ms_ssim == ms_ssim(image, measured.decoded)
    assert scores.estimated_bpp == pytest.approx(codec.estimated_bits(image).bpp)
    assert scores.encode_seconds > 0 and scores.decode_seconds > 0


def test_decodes_what_the_disk_gives_back(fake_codecs, small_photos, tmp_path: Path, monkeypatch) -> None:
    other = fake_codecs[2].compress(small_photos[1])
    monkeypatch.setattr(Path, "read_bytes", lambda self: other)
    measured = measure(fake_codecs[0], small_photos[0], tmp_path / "photo.icm")
    assert measured.data == other
    np.testing.assert_array_equal(measured.decoded, fake_codecs[2].decompress(other))


def test_an_anchor_has_no_estimate(small_photos) -> None:
    assert measure(ANCHORS["jpeg"].at(50), small_photos[0]).scores.estimated_bpp is None


def test_warm_up_runs_the_codec_once(fake_codecs, small_photos) -> None:
    warm_up(fake_codecs[0], small_photos[0])
    assert fake_codecs[0].encoded == 1
