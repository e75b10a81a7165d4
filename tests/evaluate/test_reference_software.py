"""VTM and HM: how they are called, and what is said when they can not be."""

import sys
from pathlib import Path

import numpy as np
import pytest

from icm_jax.data.samples import sample_images
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import available, get_anchor
from icm_jax.evaluate.image_quality import psnr
from icm_jax.evaluate.reference_software import DECODER, ENCODER, HM, VTM, to_planes, to_rgb

# Stand-ins that know the options of the real ones; samples are kept to the QP's bits.
ENCODER_TEXT = """#!{python}
import sys
arguments = sys.argv[1:]
value = lambda name: arguments[arguments.index(name) + 1]
assert "--InputChromaFormat=444" in arguments and "--ConformanceWindowMode=1" in arguments
assert open(value("-c")).read() == "intra"
data = open(value("-i"), "rb").read()
assert len(data) == 3 * int(value("-wdt")) * int(value("-hgt"))
if value("-q") == "11":
    sys.exit("QP 11 is broken")
step = int(value("-q"))
open(value("-b"), "wb").write(bytes(sample // step * step for sample in data))
"""
DECODER_TEXT = """#!{python}
import sys
arguments = sys.argv[1:]
value = lambda name: arguments[arguments.index(name) + 1]
assert value("-d") == "8"
open(value("-o"), "wb").write(open(value("-b"), "rb").read())
"""


@pytest.fixture
def software(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in ((ENCODER, ENCODER_TEXT), (DECODER, DECODER_TEXT)):
        (tmp_path / name).write_text(text.format(python=sys.executable))
        (tmp_path / name).chmod(0o755)
    (tmp_path / VTM.config).write_text("intra")
    monkeypatch.setenv("ICM_VTM", str(tmp_path))
    return tmp_path


def test_round_trip_through_the_binaries(software: Path) -> None:
    image = sample_images()[0].image[:33, :47]
    anchor = get_anchor("vtm")
    data = anchor.encode(image, 22)
    assert len(data) == 4 + image.size
    decoded = anchor.decode(data)
    assert decoded.shape == image.shape and 20 < psnr(image, decoded) < 40
    assert "vtm" in available() and "hm" not in available()


def test_version_is_that_of_the_encoder_and_its_configuration(software: Path) -> None:
    before = get_anchor("vtm").at(22).hash
    (software / VTM.config).write_text("other")
    assert before != get_anchor("vtm").at(22).hash and before.startswith("vtm-")


def test_what_is_missing_is_named(software: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IcmError, match="set ICM_HM to the folder with EncoderAppStatic"):
        get_anchor("hm")
    monkeypatch.setenv("ICM_HM", str(software))
    with pytest.raises(IcmError, match=r"encoder_intra_main_rext\.cfg: not there; ICM_HM has to name"):
        HM.require()


def test_failures_of_the_binaries_are_told(software: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(IcmError, match=r"EncoderAppStatic failed \(QP 11 is broken\)"):
        VTM.encode(image, 11)
    with pytest.raises(IcmError, match=r"decoded 10 samples, expected 3×8×8"):
        VTM.decode(VTM.encode(image, 22)[:14])
    with pytest.raises(IcmError, match="file of 3 bytes is cut short"):
        VTM.decode(b"abc")


def test_colours_survive_the_conversion() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    planes = to_planes(image)
    assert abs(to_rgb(planes).astype(int) - image).max() <= 2
    grey = to_planes(np.full((1, 1, 3), 77, np.uint8))
    assert grey.ravel().tolist() == [77, 128, 128]
    blue = to_planes(np.array([[[0, 0, 255]]], np.uint8)).ravel()
    assert blue.tolist() == [18, 255, 116]  # 0.0722 · 255; the largest blue difference; 128 − 0.0458 · 255
