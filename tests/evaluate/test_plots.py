"""Plots: what is drawn, where labels go."""

import itertools
from pathlib import Path

import pytest

from icm_jax.errors import IcmError
from icm_jax.evaluate import plots
from icm_jax.evaluate.curves import make_curve
from icm_jax.evaluate.plots import COLOURS, plot_curves, series_colours, spread_labels, visible_curves
from tests.evaluate.made_results import TOP1, made_result

RESULTS = [
    made_result("tic", [0.2, 0.6], {"psnr": [28.0, 32.0], "ms_ssim_db": [14.0, 16.0]}),
    made_result("webp", [0.15, 0.5, 2.0], {"psnr": [26.0, 30.0, 36.0], "ms_ssim_db": [13.0, 15.0, 18.0]}),
]


def test_plot_writes_png_and_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_curves(RESULTS, tmp_path / "rd.png")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rd.png", "rd.svg"]
    assert (tmp_path / "rd.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "rd.svg").read_text()


def test_the_originals_are_a_dashed_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scores = {"top1": [50.0, 60.0]}
    judged = made_result("tic", [0.1, 0.4], scores, (TOP1,), uncompressed={"top1": 70.0})
    plot_curves(
        [judged, made_result("my JPEG", [0.1], {"top1": [40.0]}, (TOP1,), "jpeg")], tmp_path / "a.png"
    )
    svg = (tmp_path / "a.svg").read_text()
    assert "uncompressed" in svg and "stroke-dasharray" in svg and COLOURS["jpeg"] in svg


def test_missing_matplotlib_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(plots.importlib, "import_module", absent)
    with pytest.raises(IcmError, match=r"icm-jax\[eval\]"):
        plot_curves(RESULTS, tmp_path / "rd.png")


def test_anchors_are_cut_at_our_highest_rate() -> None:
    ours = make_curve("tic", [0.2, 0.4], [28, 31])
    webp = make_curve("webp", [0.1, 4.0], [24, 40])
    far = make_curve("jpeg", [3.0, 4.0], [38, 40])
    shown = visible_curves([ours, webp, far])
    assert [curve.name for curve in shown] == ["tic", "webp"]
    assert shown[1].bpp[-1] == pytest.approx(0.4) and shown[1].cut
    assert visible_curves([webp, far]) == [webp, far]


def test_labels_are_spread_in_order_around_their_centre() -> None:
    moved = spread_labels([10.0, 10.1, 30.0, 10.05], gap=2)
    assert sorted(range(4), key=moved.__getitem__) == [0, 3, 1, 2]
    ordered = sorted(moved)
    assert all(b - a >= 2 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert sum(moved) == pytest.approx(60.15)
    assert spread_labels([5.0, 1.0], gap=2) == [5.0, 1.0]
    assert spread_labels([], gap=2) == []


def test_every_series_has_its_own_colour() -> None:
    colours = series_colours([make_curve(name, [0.1], [20]) for name in ("tic", "other", "webp")])
    assert len(set(colours.values())) == len(colours) >= 7
