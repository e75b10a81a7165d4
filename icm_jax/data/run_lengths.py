"""Masks of instances as run lengths in COCO's compressed form: {"size": [h, w], "counts": "…"}."""

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from icm_jax.errors import IcmError

RunLengths = dict[str, Any]


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> RunLengths:
    """A map, not 0 on the instance."""
    return _plain(_coding().encode(np.asfortranarray(mask != 0).view(np.uint8)))


def encode_segmentation(segmentation: Any, size: tuple[int, int]) -> RunLengths:
    """Polygons, run lengths or compressed run lengths, as COCO's annotation files have them.

    Polygons become the pixels that pycocotools fills when it evaluates. Errors do not name the file.

    Raises:
        IcmError: neither polygons nor run lengths of an image of `size` = (height, width).
    """
    coding = _coding()
    if not isinstance(segmentation, list | Mapping):
        raise IcmError(f"mask is {segmentation!r}, neither polygons nor run lengths")
    try:
        if isinstance(segmentation, Mapping) and tuple(segmentation["size"]) != size:
            height, width = segmentation["size"]
            raise IcmError(f"mask is {width}×{height}, its image {size[1]}×{size[0]}")
        if isinstance(segmentation, Mapping) and isinstance(segmentation["counts"], str):
            return {"size": list(size), "counts": segmentation["counts"]}
        shapes = coding.frPyObjects(segmentation, *size)
        return _plain(coding.merge(shapes) if isinstance(shapes, list) else shapes)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise IcmError(f"mask is neither polygons nor run lengths ({error})") from None


def decode_mask(encoded: Mapping[str, Any]) -> Bool[np.ndarray, "h w"]:
    """The map that was encoded.

    Raises:
        IcmError: no run lengths.
    """
    try:
        counts = {"size": encoded["size"], "counts": encoded["counts"].encode()}
        with warnings.catch_warnings(
            action="ignore", category=DeprecationWarning
        ):  # pycocotools' own, of NumPy 2
            mask: np.ndarray = _coding().decode(counts)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise IcmError(f"mask is no run lengths ({error}); build the data set again") from None
    return mask.astype(bool)


def _plain(encoded: Mapping[str, Any]) -> RunLengths:
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def _coding() -> Any:
    try:
        return importlib.import_module("pycocotools.mask")
    except ImportError as error:
        raise IcmError(
            "masks need pycocotools, which is not installed; pip install 'icm-jax[eval]'"
        ) from error
