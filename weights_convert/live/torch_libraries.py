"""Other PyTorch projects beside the ledger's own modules: what their import asks for. Needs torch."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch

from icm_jax.errors import IcmError

_declared: list[Any] = []  # torch forgets operators whose library object is gone


def declare_operators() -> None:
    """torchvision, which timm and CompressAI import, needs operators that its CUDA wheels lack beside a CPU torch."""
    package = importlib.util.find_spec("torchvision")
    if _declared or package is None or package.origin is None:
        return
    try:
        torch.ops.load_library(str(Path(package.origin).with_name("_C.so")))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)


def compressai_codecs() -> dict[str, Any]:
    """CompressAI's codecs by name.

    Raises:
        IcmError: it is not installed.
    """
    if importlib.util.find_spec("compressai") is None:
        raise IcmError("this comparison runs CompressAI; pip install 'icm-jax[parity]'")
    declare_operators()
    with warnings.catch_warnings(action="ignore"):  # its own imports use what torch has deprecated
        from compressai.registry import MODELS

    codecs: dict[str, Any] = MODELS
    return codecs
