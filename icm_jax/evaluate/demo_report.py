"""What the demo measured, as values, and the means that its page and its table show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icm_jax.data.samples import Sample
from icm_jax.evaluate.anchors import ANCHORS
from icm_jax.evaluate.curves import METRICS, Curve, make_curve, table
from icm_jax.evaluate.image_quality import ms_ssim_db
from icm_jax.evaluate.measure import Scores


@dataclass(frozen=True)
class Coded:
    """One photo coded by one codec. Paths are relative to the page.

    `file` is what was measured, `picture` what a browser can show of it. `fits` is False for a classical
    codec whose smallest file is still larger than the one it is compared with.
    """

    codec: str
    quality: int
    file: str
    picture: str
    scores: Scores
    fits: bool = True

    @property
    def label(self) -> str:
        return ANCHORS[self.codec].label if self.codec in ANCHORS else self.codec


@dataclass(frozen=True)
class Comparison:
    """One photo at one quality of the codec: its file, its maps, the anchors at the same number of bytes."""

    ours: Coded
    anchors: tuple[Coded, ...]
    bit_picture: str
    bit_limit: float  # bits a 16x16 block drawn as the brightest colour
    error_picture: str


@dataclass(frozen=True)
class PhotoReport:
    """One photo: `coded` at every quality of the codec, `comparisons` at some of them."""

    sample: Sample
    original: str
    coded: tuple[Coded, ...]
    comparisons: tuple[Comparison, ...]


def mean_curves(photos: Sequence[PhotoReport], metric: str) -> list[Curve]:
    """Means over the photos: the codec at every quality, each anchor at the sizes it was given."""
    rows = [[photo.coded[i] for photo in photos] for i in range(len(photos[0].coded))]
    for comparisons in zip(*(photo.comparisons for photo in photos), strict=True):
        rows += [list(row) for row in zip(*(comparison.anchors for comparison in comparisons), strict=True)]
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        rate = float(np.mean([coded.scores.bpp for coded in row]))
        value = float(np.mean([_decibel(coded.scores, metric) for coded in row]))
        points.setdefault(row[0].codec, []).append((rate, value))
    return [make_curve(name, *zip(*pairs, strict=True)) for name, pairs in points.items()]


def mean_gains(photos: Sequence[PhotoReport], metric: str = "psnr") -> dict[str, float]:
    """dB of the codec minus each anchor at the same bytes, mean over the photos and the compared qualities.

    Files of an anchor that could not be made small enough are left out: they had more bytes to spend.
    """
    differences: dict[str, list[float]] = {}
    for comparison in (comparison for photo in photos for comparison in photo.comparisons):
        for anchor in comparison.anchors:
            if anchor.fits:
                difference = _decibel(comparison.ours.scores, metric) - _decibel(anchor.scores, metric)
                differences.setdefault(anchor.codec, []).append(difference)
    return {name: float(np.mean(values)) for name, values in differences.items()}


def terminal_table(photos: Sequence[PhotoReport]) -> str:
    """Means over the photos at each quality, then the gains over the anchors at the same bytes."""
    head = ["quality", "bytes", "bpp", "estimated", "PSNR dB", "MS-SSIM", "enc ms", "dec ms"]
    rows = []
    for i, first in enumerate(photos[0].coded):
        scores = [photo.coded[i].scores for photo in photos]
        rows.append(
            [
                f"{first.codec} {first.quality}",
                f"{np.mean([s.bytes for s in scores]):.0f}",
                f"{np.mean([s.bpp for s in scores]):.3f}",
                _mean_estimate(scores),
                f"{np.mean([s.psnr for s in scores]):.2f}",
                f"{np.mean([s.ms_ssim for s in scores]):.4f}",
                f"{1000 * np.mean([s.encode_seconds for s in scores]):.0f}",
                f"{1000 * np.mean([s.decode_seconds for s in scores]):.0f}",
            ]
        )
    names = mean_gains(photos)
    by_metric = [(title, mean_gains(photos, metric)) for metric, title in METRICS.items()]
    gain_rows = [[title, *(f"{gains[name]:+.2f}" for name in names)] for title, gains in by_metric]
    gain_head = [
        f"{photos[0].coded[0].codec} at the same bytes",
        *(f"minus {ANCHORS[n].label}" for n in names),
    ]
    return "\n\n".join([table(head, rows), *([table(gain_head, gain_rows)] if names else [])])


def _decibel(scores: Scores, metric: str) -> float:
    return scores.psnr if metric == "psnr" else ms_ssim_db(scores.ms_ssim)


def _mean_estimate(scores: Sequence[Scores]) -> str:
    estimates = [s.estimated_bpp for s in scores if s.estimated_bpp is not None]
    return f"{np.mean(estimates):.3f}" if estimates else ""
