"""A tree of float32 arrays as one safetensors file of our paths, with a header of texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from icm_jax import paths
from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError


class TreeFile(NamedTuple):
    """Content of a file."""

    tree: dict[str, Any]
    header: dict[str, str]


def write_tree(file: Path, tree: paths.Tree, header: Mapping[str, str]) -> None:
    """Writes the file, whole or not at all."""
    arrays = {path: np.asarray(leaf, np.float32) for path, leaf in paths.flatten(tree).items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, safetensors.numpy.save(arrays, dict(header)))


def read_tree(file: Path, what: str, needs: tuple[str, ...] = ()) -> TreeFile:
    """Inverse of `write_tree`.

    Args:
        what: the file should hold, for the error, and where it comes from: "backbone; give the … of a run".
        needs: texts of the header.

    Raises:
        IcmError: no such file, a damaged one, or one of another kind.
    """
    try:
        with safetensors.safe_open(file, "numpy") as opened:
            header = dict(opened.metadata() or {})
            arrays = {path: opened.get_tensor(path) for path in opened.keys()}  # noqa: SIM118 - no mapping
    except (OSError, safetensors.SafetensorError) as error:
        raise IcmError(f"{file}: no {what} ({error})") from None
    if missing := [name for name in needs if name not in header]:
        raise IcmError(f"{file}: no {what} (its header says nothing of {missing[0]!r})")
    return TreeFile(paths.unflatten(arrays), header)
