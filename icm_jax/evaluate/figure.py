"""Codecs side by side on one photo, as in figure 6 of the TransTIC paper: a PNG a photo, a column a codec.

title      curve and quality
picture    what was decoded, with what the network sees in it
map        where the bits went, on one scale for all columns; below the original its quality map, if a codec had one
caption    bits a pixel of the file, PSNR, prediction in words
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from icm_jax.data.image_io import read_image, write_image
from icm_jax.evaluate.image_quality import psnr
from icm_jax.evaluate.judge import Judge
from icm_jax.evaluate.measure import Estimator, code
from icm_jax.evaluate.pictures import BITS_PERCENTILE, bit_picture, heat
from icm_jax.evaluate.subjects import FeatureCodec, Subject
from icm_jax.tasks.drawing import drawn
from icm_jax.tasks.task import Features

LINE, GAP, FONT_SIZE = 18, 6, 12  # pixels
LEAST_WIDTH = 220  # of a column, so that captions fit
PAPER, INK, EMPTY = (255, 255, 255), (0, 0, 0), 235

Picture = UInt8[np.ndarray, "h w 3"]


class Column(NamedTuple):
    """What stands in a column; a picture or map that there is none of stays empty."""

    title: str
    picture: Picture | None
    map: Picture | None
    caption: tuple[str, ...]


def write_figures(
    images: Sequence[Path], subjects: Sequence[Subject], judge: Judge | None, out: Path
) -> list[Path]:
    """Writes `out`/NAME.png for every photo and returns the files.

    Raises:
        IcmError: a photo or codec that can not be read, or a task that can not judge a codec.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for image in images:
        photo = read_image(image)
        files.append(out / f"{image.stem}.png")
        write_image(files[-1], layout(columns(image, photo, subjects, judge), photo.shape[:2]))
    return files


def columns(image: Path, photo: Picture, subjects: Sequence[Subject], judge: Judge | None) -> list[Column]:
    """The original's column and one a codec, in their order."""
    coded = [code(subject.codec, photo) for subject in subjects]
    decoded = [
        Features(subject.codec.tap, one.decoded) if isinstance(subject.codec, FeatureCodec) else one.decoded
        for subject, one in zip(subjects, coded, strict=True)
    ]
    answers = judge.see(image, photo, decoded) if judge else [None] * (1 + len(decoded))
    task = judge.task.name if judge else ""
    bit_maps = [
        subject.codec.estimated_bits(photo).map if isinstance(subject.codec, Estimator) else None
        for subject in subjects
    ]
    known = [bits.ravel() for bits in bit_maps if bits is not None and bits.size]
    limit = float(np.percentile(np.concatenate(known), BITS_PERCENTILE)) if known else 1.0
    made = [_column("original", photo, None, answers[0], task, ())]
    for subject, one, seen, answer, bits in zip(subjects, coded, decoded, answers[1:], bit_maps, strict=True):
        picture = None if isinstance(seen, Features) or seen.dtype != np.uint8 else seen
        numbers = [f"{8 * len(one.data) / (photo.shape[0] * photo.shape[1]):.3f} bpp"]
        numbers += [f"{psnr(photo, picture):.2f} dB"] if picture is not None else []
        shown = bit_picture(photo, bits, limit)[0] if bits is not None and bits.size else None
        title = f"{subject.curve} {subject.quality:g}"
        made.append(_column(title, picture, shown, answer, task, (" / ".join(numbers),)))
    quality = next(filter(None, (getattr(subject.codec, "quality_map", None) for subject in subjects)), None)
    return [made[0]._replace(map=_grey(quality(photo))) if quality else made[0], *made[1:]]


def layout(made: Sequence[Column], size: tuple[int, int]) -> Picture:
    """The columns beside each other on white."""
    height, width = size
    step = max(width, LEAST_WIDTH) + GAP
    lines = max(len(column.caption) for column in made)
    page = Image.new("RGB", (GAP + step * len(made), (2 + lines) * LINE + 2 * (height + GAP)), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(FONT_SIZE)
    for i, column in enumerate(made):
        left = GAP + i * step
        draw.text((left, 2), column.title, INK, font)
        for row, picture in enumerate((column.picture, column.map)):
            shown = np.full((height, width, 3), EMPTY, np.uint8) if picture is None else picture
            page.paste(Image.fromarray(shown), (left, LINE + row * (height + GAP)))
        for row, text in enumerate(column.caption):
            draw.text((left, LINE * (1 + row) + 2 * (height + GAP)), text, INK, font)
    return np.asarray(page)


def _column(
    title: str,
    picture: Picture | None,
    bits: Picture | None,
    answer: Any,
    task: str,
    numbers: tuple[str, ...],
) -> Column:
    if answer is None:
        return Column(title, picture, bits, numbers)
    overlay, words = drawn(task, picture, answer)
    return Column(title, overlay, bits, (*numbers, *([words] if words else [])))


def _grey(quality: UInt8[np.ndarray, "h w"]) -> Picture:
    return np.round(heat(quality / 255.0)).astype(np.uint8)
