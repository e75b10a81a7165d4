"""Reading the arrays of a published network from a file, whatever its kind, without running what is in it."""

from pathlib import Path

import numpy as np
import safetensors.numpy

from weights_convert.detectron2_pickle import load_pickle
from weights_convert.keymap import ConversionError
from weights_convert.transtic import load_checkpoint

PYTORCH = (".pth", ".pt", ".tar")


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
        arrays: dict[str, np.ndarray] = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ConversionError(f"{path} can not be read as safetensors: {error}") from None
    return arrays
