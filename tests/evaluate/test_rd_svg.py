"""The inline plot: valid XML, round ticks, everything inside the frame."""

import itertools
import xml.etree.ElementTree as ElementTree

import pytest

from icm_jax.evaluate.curves import make_curve
from icm_jax.evaluate.rd_svg import HEIGHT, WIDTH, rd_svg, ticks

CURVES = [
    make_curve("a<b", [0.11, 0.52], [26.3, 31.2]),
    make_curve("webp", [0.12, 0.5], [25.0, 30.0]),
    make_curve("jpeg", [0.2, 0.51], [22.5, 28.6]),
]


@pytest.mark.parametrize("low, high", [(0, 0.52), (22.5, 31.2), (0, 1), (10, 10), (-3, 0.001), (0, 2000)])
def test_ticks_enclose_and_are_round(low: float, high: float) -> None:
    values = ticks(low, high)
    assert values[0] <= low and values[-1] >= high and 2 <= len(values) <= 9
    steps = {round(b - a, 9) for a, b in itertools.pairwise(values)}
    assert len(steps) == 1
    assert f"{steps.pop():e}"[0] in "125"


def test_plot_is_xml_inside_its_frame_and_labels_every_curve() -> None:
    root = ElementTree.fromstring(rd_svg(CURVES, "bits per pixel", "PSNR & rate"))
    for circle in root.iter("circle"):
        assert 0 < float(circle.get("cx", "nan")) < WIDTH and 0 < float(circle.get("cy", "nan")) < HEIGHT
    assert len(list(root.iter("circle"))) == 6
    texts = [text.text for text in root.iter("text")]
    assert {"a<b", "WebP", "JPEG", "bits per pixel"} <= set(texts)
    assert root.get("aria-label") == "PSNR & rate"


def test_better_is_higher_and_own_curves_come_last() -> None:
    root = ElementTree.fromstring(rd_svg(CURVES, "x", "y"))
    groups = list(root.iter("g"))
    assert [group.get("class") for group in groups] == ["series", "series", "series own"]
    end = {group.find("text").text: float(list(group.iter("circle"))[-1].get("cy")) for group in groups}
    assert end["a<b"] < end["WebP"] < end["JPEG"]


def test_a_cut_end_has_no_dot() -> None:
    root = ElementTree.fromstring(rd_svg([CURVES[0].upto(0.3)], "x", "y"))
    assert len(list(root.iter("circle"))) == 1
