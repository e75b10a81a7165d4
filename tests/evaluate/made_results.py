"""Results with made-up numbers."""

from collections.abc import Sequence

from icm_jax.evaluate.result import Point, Result
from icm_jax.metrics.metric import Metric

PSNR, MS_SSIM_DB = Metric("psnr", "PSNR (dB)", low=0), Metric("ms_ssim_db", "MS-SSIM (dB)", low=0)
TOP1 = Metric("top1", "top-1 (%)", low=0, high=100)
RMSE = Metric("rmse", "RMSE (m)", lower_is_better=True, low=0)


def made_result(
    curve: str,
    rates: Sequence[float],
    scores: dict[str, Sequence[float | None]],
    metrics: Sequence[Metric] = (PSNR, MS_SSIM_DB),
    codec: str = "",
    task: str = "reconstruction",
    uncompressed: dict[str, float] | None = None,
    dataset: str = "0" * 64,
) -> Result:
    """One result; `scores` by metric, one a rate."""
    points = tuple(
        Point(
            quality=i + 1,
            hash="x",
            bytes=1000,
            bpp=rate,
            bpp_pixels=rate,
            estimated_bpp=None if curve == "webp" else rate,
            encode_seconds=0.1,
            decode_seconds=0.02,
            scores={name: values[i] for name, values in scores.items()},
        )
        for i, rate in enumerate(rates)
    )
    return Result(
        curve=curve,
        codec=codec or curve,
        task=task,
        recognizer=None,
        dataset={"name": "made", "count": 2, "sha256": dataset, "images": ["a.png", "b.png"]},
        metrics=tuple(metrics),
        uncompressed=uncompressed or {},
        points=points,
        provenance={"config": {}, "versions": {"icm-jax": "0"}, "created": "2026-01-01"},
    )
