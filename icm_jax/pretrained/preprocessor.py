"""Pre-processors on disk, one file each, and what they make of pictures."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import UInt8

from icm_jax import paths
from icm_jax.models.preprocessor import Preprocessor, PreprocessorSpec
from icm_jax.pretrained.tree_file import read_tree, write_tree

PREPROCESSOR_FILE = "preprocessor.safetensors"


@dataclass(frozen=True)
class StoredPreprocessor:
    """Content of a file; `digest` is its SHA-256."""

    spec: PreprocessorSpec
    params: Mapping[str, Any]
    digest: str

    def __call__(self, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The picture that is coded in the place of this one."""
        height, width, _ = picture.shape
        bottom, right = -height % self.spec.unit, -width % self.spec.unit
        padded = np.pad(picture, ((0, bottom), (0, right), (0, 0)), mode="edge")
        return np.asarray(_program(self.spec)(self.params, padded[None]))[0, :height, :width]


def write_preprocessor(
    file: Path, spec: PreprocessorSpec, params: paths.Tree, facts: Mapping[str, Any]
) -> None:
    """Writes a trained pre-processor."""
    header = {
        "preprocessor": json.dumps(dataclasses.asdict(spec)),
        "training": json.dumps(dict(facts), default=str),
    }
    write_tree(file, params, header)


def read_preprocessor(file: Path) -> StoredPreprocessor:
    """Inverse of `write_preprocessor`.

    Raises:
        IcmError: no such file, a damaged one, or one of another kind.
    """
    tree, header = read_tree(file, f"pre-processor; give the {PREPROCESSOR_FILE} of a run", ("preprocessor",))
    values = json.loads(header["preprocessor"])
    spec = PreprocessorSpec(tuple(values["widths"]), values["blocks"])
    return StoredPreprocessor(spec, tree, hashlib.sha256(file.read_bytes()).hexdigest())


@lru_cache(maxsize=8)
def _program(spec: PreprocessorSpec) -> Any:
    @jax.jit
    def run(params: Any, pixels: UInt8[Array, "b h w 3"]) -> UInt8[Array, "b h w 3"]:
        made = Preprocessor(spec).apply({"params": params}, pixels.astype(jnp.float32) / 255)
        return jnp.round(255 * jnp.asarray(made)).astype(jnp.uint8)

    return run
