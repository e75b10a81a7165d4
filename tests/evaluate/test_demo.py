"""The demo end to end with a stand-in codec: honest files, a complete page, nothing from the network."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from icm_jax.data.samples import Sample
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import ANCHORS, available
from icm_jax.evaluate.demo import SHOWN_ANCHORS, DemoResult, compared, run_demo
from icm_jax.evaluate.demo_report import mean_curves, mean_gains
from icm_jax.evaluate.image_quality import psnr

VOID_TAGS = {"meta", "img", "input", "br", "line", "circle", "polyline"}


class PageReader(HTMLParser):
    """Checks that tags balance; collects what the page refers to, its ids and its data."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links |= {str(values[name]) for name in ("src", "href") if name in values}
        self.ids += [str(values["id"])] if "id" in values else []
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID_TAGS:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


@pytest.fixture(scope="module")
def samples(small_photos) -> list[Sample]:
    names = ("one", "two", "three")
    return [
        Sample(name, f"Photo <{name}>", "A & B", "somewhere", "CC0 1.0", (0, 0), image)
        for name, image in zip(names, small_photos, strict=True)
    ]


@pytest.fixture(scope="module")
def result(samples, fake_codec_type, tmp_path_factory) -> DemoResult:
    codecs = [fake_codec_type(quality) for quality in (1, 2, 3)]
    return run_demo(tmp_path_factory.mktemp("demo"), codecs=codecs, samples=samples)


@pytest.fixture(scope="module")
def page(result) -> PageReader:
    reader = PageReader()
    reader.feed(result.index.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_scores_are_of_the_files_beside_the_page(result, samples, fake_codec_type) -> None:
    folder = result.index.parent
    for sample, photo in zip(samples, result.photos, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(folder / photo.original)), sample.image)
        for coded in photo.coded:
            data = (folder / coded.file).read_bytes()
            assert coded.file.endswith(".icm") and coded.scores.bytes == len(data)
            decoded = fake_codec_type(coded.quality).decompress(data)
            assert coded.scores.psnr == psnr(sample.image, decoded)
        for comparison in photo.comparisons:
            shown = np.asarray(Image.open(folder / comparison.ours.picture))
            assert psnr(sample.image, shown) == comparison.ours.scores.psnr


def test_anchors_have_no_more_bytes_than_we(result, samples) -> None:
    folder = result.index.parent
    for sample, photo in zip(samples, result.photos, strict=True):
        for comparison in photo.comparisons:
            names = [anchor.codec for anchor in comparison.anchors]
            assert names == [name for name in SHOWN_ANCHORS if name in available()]
            for anchor in comparison.anchors:
                data = (folder / anchor.file).read_bytes()
                assert anchor.scores.bytes == len(data)
                assert anchor.fits == (len(data) <= comparison.ours.scores.bytes)
                assert psnr(sample.image, ANCHORS[anchor.codec].decode(data)) == anchor.scores.psnr


def test_page_is_complete_and_asks_nobody(result, page) -> None:
    text = result.index.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|//[a-z]+\.", text)
    for link in page.links:
        assert (result.index.parent / link).is_file(), link
    assert {"one", "two", "three", "report"} <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert "Photo &lt;one&gt;" in text and "A &amp; B" in text and "Photo <one>" not in text


def test_every_choice_of_the_script_leads_to_a_picture(result, page) -> None:
    report = json.loads(page.scripts[0])
    assert [photo["name"] for photo in report] == ["one", "two", "three"]
    text = result.index.read_text(encoding="utf-8")
    for photo in report:
        assert len(photo["levels"]) == 3
        for level in photo["levels"]:
            assert set(level["maps"]) == {"bits", "error"}
            for key, entry in [*level["entries"].items(), *level["maps"].items()]:
                assert (result.index.parent / entry["picture"]).is_file()
                assert f'"{key}"' in text
    opponents = re.findall(r'name="against" value="(\w+)"', text)
    assert set(opponents) == set(report[0]["levels"][0]["entries"]) - {"own"}


def test_gains_are_means_over_files_of_equal_size(result) -> None:
    differences = [
        comparison.ours.scores.psnr - anchor.scores.psnr
        for photo in result.photos
        for comparison in photo.comparisons
        for anchor in comparison.anchors
        if anchor.codec == "jpeg" and anchor.fits
    ]
    assert differences
    assert mean_gains(result.photos)["jpeg"] == pytest.approx(np.mean(differences))


def test_curves_are_means_over_the_photos(result) -> None:
    ours = next(curve for curve in mean_curves(result.photos, "psnr") if curve.name == "fake")
    assert len(ours.bpp) == 3
    lowest = [photo.coded[0].scores for photo in result.photos]
    assert ours.bpp[0] == pytest.approx(np.mean([scores.bpp for scores in lowest]))
    assert ours.value[0] == pytest.approx(np.mean([scores.psnr for scores in lowest]))


def test_terminal_table_and_scores_file(result) -> None:
    assert "| fake 2 " in result.table and "minus WebP" in result.table
    records = json.loads((result.index.parent / "scores.json").read_text())
    shown = len([name for name in SHOWN_ANCHORS if name in available()])
    assert len(records) == 3 * (3 + 3 * shown)
    assert str(result).startswith(result.table) and str(result).endswith(f"open {result.index}")


def test_lowest_middle_and_highest_are_compared(fake_codec_type) -> None:
    assert [compared([fake_codec_type(1)] * count) for count in (1, 2, 3, 5, 6)] == [
        [0],
        [0, 1],
        [0, 1, 2],
        [0, 2, 4],
        [0, 3, 5],
    ]


def test_codec_without_estimates_and_one_quality(samples, tmp_path) -> None:
    coder = ANCHORS["webp"].at(40)
    result = run_demo(tmp_path, codecs=[coder], samples=samples[:1])
    text = result.index.read_text(encoding="utf-8")
    assert 'data-map="error"' in text and 'data-map="bits"' not in text
    assert result.photos[0].coded[0].scores.estimated_bpp is None


def test_no_codec_is_refused(tmp_path) -> None:
    with pytest.raises(IcmError, match="'nothing' has no qualities"):
        run_demo(tmp_path, codec_name="nothing", codecs=[])
