"""Reading the arrays of a published network from a file, whatever its kind, without running what is in it."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from weights_convert.detectron2_pickle import load_pickle
from weights_convert.keymap import ConversionError
from weights_convert.transtic import load_checkpoint

PYTORCH = (".pth", ".pt", ".tar")
SIGNED = {f"I{8 * size}": np.dtype(f"i{size}") for size in (1, 2, 4, 8)}
UNSIGNED = {f"U{8 * size}": np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
FLOATS = {f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)}
DTYPES = {**SIGNED, **UNSIGNED, **FLOATS, "BOOL": np.dtype(bool), "BF16": np.dtype(ml_dtypes.bfloat16)}


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name from `.safetensors`, from PyTorch's `.pth`, or from detectron2's `.pkl`.

    Raises:
        ConversionError: the file is missing or damaged, of another kind, or holds anything but arrays.
    """
    if not path.is_file():
        raise ConversionError(f"{path} does not exist; give the file of weights")
    if path.suffix in PYTORCH:
        return load_checkpoint(path)
    if path.suffix == ".pkl":
        return load_pickle(path)
    if path.suffix != ".safetensors":
        raise ConversionError(f"{path} is of an unknown kind; use .safetensors, {', '.join(PYTORCH)} or .pkl")
    try:
        return _mapped(path)
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConversionError(f"{path} can not be read as safetensors ({reason}); fetch it again") from None


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """Arrays that stay in the file until they are read. safetensors' own NumPy reader copies, and knows no bfloat16."""
    with safetensors.safe_open(path, "numpy"):
        pass  # the header was compared with the file
    data = np.memmap(path, np.uint8, "r")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    header: dict[str, dict[str, Any]] = json.loads(data[8:start].tobytes())
    header.pop("__metadata__", None)
    arrays = {}
    for name in sorted(header):
        first, last = (start + offset for offset in header[name]["data_offsets"])
        arrays[name] = data[first:last].view(DTYPES[header[name]["dtype"]]).reshape(header[name]["shape"])
    return arrays
