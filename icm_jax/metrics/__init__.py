"""Accuracy over a data set, one file a metric. NumPy and SciPy only; knows neither JAX nor models.

Counters are frozen values: `update` and `merge` return new ones, so a process can count its share of the
images and the shares be merged in any order. Counts are integers and merge exactly, sums are float64.
"""

from icm_jax.metrics.boundary import Boundary
from icm_jax.metrics.coco import CocoDetections
from icm_jax.metrics.cross_entropy import CrossEntropy
from icm_jax.metrics.delta_m import delta_m
from icm_jax.metrics.depth import Depth
from icm_jax.metrics.meter import merge_all
from icm_jax.metrics.normals import Normals
from icm_jax.metrics.open_images import OpenImages
from icm_jax.metrics.rate import Rate
from icm_jax.metrics.saliency import Saliency
from icm_jax.metrics.segmentation import Segmentation
from icm_jax.metrics.top_k import TopK

__all__ = [
    "Boundary",
    "CocoDetections",
    "CrossEntropy",
    "Depth",
    "Normals",
    "OpenImages",
    "Rate",
    "Saliency",
    "Segmentation",
    "TopK",
    "delta_m",
    "merge_all",
]
