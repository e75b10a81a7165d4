"""The demo: the embedded photos through a codec and back, next to classical codecs given the same bytes.

    photo --codec, each quality--> .icm file --> decoded picture, maps, scores
      |                               | its size
      +--> WebP, AVIF, JPEG at that size                       all of it --> index.html, scores.json, a table

Every quality is in the plots; three of them (lowest, middle, highest) are shown and compared in pictures.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from icm_jax.data.image_io import make_folder, write_bytes, write_image
from icm_jax.data.samples import Sample, sample_images
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import (
    Anchor,
    available,
    encode_to_size,
    get_anchor,
    remembering,
)
from icm_jax.evaluate.demo_page import render
from icm_jax.evaluate.demo_report import Coded, Comparison, PhotoReport, terminal_table
from icm_jax.evaluate.measure import Estimator, ImageCodec, Measured, json_scores, measure, warm_up
from icm_jax.evaluate.pictures import bit_picture, error_picture
from icm_jax.evaluate.still_images import AVIF_QUICK_SPEED, avif_encoder

SHOWN_ANCHORS = ("webp", "avif", "jpeg")  # what a browser can show


@dataclass(frozen=True)
class DemoResult:
    """`index` opens in any browser without a server; `table` is for the terminal."""

    index: Path
    photos: tuple[PhotoReport, ...]
    table: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.table}\n\nwritten in {self.seconds:.0f} s; open {self.index}"


def run_demo(
    out: Path,
    codec_name: str = "tic-lite",
    codecs: Sequence[ImageCodec] | None = None,
    samples: Sequence[Sample] | None = None,
) -> DemoResult:
    """Write the demo into the folder `out`: coded files, pictures, `scores.json` and `index.html`.

    `codecs` are the qualities of one codec from low to high rate, by default all of `codec_name`: an included
    codec, or the folder of one. Raises IcmError when there is none, when `out` can not be made, or when a codec
    gives back another size than it was given.
    """
    start = time.perf_counter()
    codecs = list(codecs) if codecs is not None else _qualities(codec_name)
    if not codecs:
        raise IcmError(f"codec {codec_name!r} has no qualities to show; choose another with --codec")
    samples = sample_images() if samples is None else samples
    anchors = [_quick(get_anchor(name)) for name in SHOWN_ANCHORS if name in available()]
    make_folder(out)
    for index, sample in enumerate(samples):
        if sample.image.shape not in [earlier.image.shape for earlier in samples[:index]]:
            warm_up(codecs[0], sample.image)  # the qualities share their compiled programs
    photos = tuple(_photo(sample, codecs, anchors, out) for sample in samples)
    write_bytes(out / "scores.json", json.dumps(_scores(photos), indent=1).encode())
    write_bytes(out / "index.html", render(photos).encode())
    return DemoResult(out / "index.html", photos, terminal_table(photos), time.perf_counter() - start)


def compared(codecs: Sequence[ImageCodec]) -> list[int]:
    """Positions of the lowest, middle and highest quality."""
    return sorted({0, len(codecs) // 2, len(codecs) - 1})


def _qualities(name_or_folder: str) -> list[ImageCodec]:
    """All rates of an included codec, or the one that a folder holds."""
    from icm_jax import pretrained
    from icm_jax.codec import Codec

    if name_or_folder not in pretrained.names():
        return [Codec.load(name_or_folder)]
    return [Codec.load(name_or_folder, quality) for quality in pretrained.qualities(name_or_folder)]


def _quick(anchor: Anchor) -> Anchor:
    """AVIF at the evaluation's speed would take most of the demo's time; the page says which speed it is."""
    return replace(anchor, encode=avif_encoder(AVIF_QUICK_SPEED)) if anchor.name == "avif" else anchor


def _photo(sample: Sample, codecs: Sequence[ImageCodec], anchors: Sequence[Anchor], out: Path) -> PhotoReport:
    original = f"{sample.name}.png"
    write_image(out / original, sample.image)
    searches = [(anchor, remembering(anchor, sample.image)) for anchor in anchors]
    coded, comparisons = [], []
    for position, codec in enumerate(codecs):
        stem = f"{sample.name}-{codec.name}-{codec.quality}"
        measured = measure(codec, sample.image, out / f"{stem}.icm")
        entry = Coded(codec.name, codec.quality, f"{stem}.icm", f"{stem}.png", measured.scores)
        coded.append(entry)
        if position in compared(codecs):
            write_image(out / entry.picture, measured.decoded)
            others = tuple(_anchor_file(*search, sample, entry, out) for search in searches)
            comparisons.append(_compare(codec, sample, entry, measured, others, out))
    return PhotoReport(sample, original, tuple(coded), tuple(comparisons))


def _anchor_file(anchor: Anchor, search: Anchor, sample: Sample, ours: Coded, out: Path) -> Coded:
    """The anchor's largest file that is no larger than ours; the browser shows the very file measured.

    `search` is the same anchor remembering its files, so that it encodes each quality once a photo. Measured
    is the plain one: a file out of memory would report no encoding time.
    """
    sized = encode_to_size(search, sample.image, ours.scores.bytes)
    name = f"{sample.name}-{anchor.name}-at-{ours.codec}-{ours.quality}.{anchor.extension}"
    measured = measure(anchor.at(sized.quality), sample.image, out / name)
    return Coded(anchor.name, sized.quality, name, name, measured.scores, sized.fits)


def _compare(
    codec: ImageCodec, sample: Sample, ours: Coded, measured: Measured, anchors: tuple[Coded, ...], out: Path
) -> Comparison:
    stem = ours.file.removesuffix(".icm")
    write_image(out / f"{stem}-error.png", error_picture(sample.image, measured.decoded))
    bits_name, bit_limit = "", 0.0
    if isinstance(codec, Estimator):
        bits_name = f"{stem}-bits.png"
        picture, bit_limit = bit_picture(sample.image, codec.estimated_bits(sample.image).map)
        write_image(out / bits_name, picture)
    return Comparison(ours, anchors, bits_name, bit_limit, f"{stem}-error.png")


def _scores(photos: Sequence[PhotoReport]) -> list[dict[str, object]]:
    """One record a coded file, for whoever wants the numbers behind the page."""
    records: list[dict[str, object]] = []
    for photo in photos:
        for entry in [*photo.coded, *(anchor for c in photo.comparisons for anchor in c.anchors)]:
            head = {"photo": photo.sample.name, "codec": entry.codec, "quality": entry.quality}
            records.append({**head, "file": entry.file, "fits": entry.fits, **json_scores(entry.scores)})
    return records
