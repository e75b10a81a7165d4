"""The hashed weights of the EVA-02 files: `hash_uniform`, ranged by what timm calls an array."""

import math
import re
from collections.abc import Sequence

import numpy as np

from weights_convert.golden_file import GoldenFile
from weights_convert.hash_weights import hash_uniform

CHECKSUM_TOLERANCE = 1e-6  # of the absolute sum, summed in another order


def read_hashed_weights(file: GoldenFile) -> dict[str, np.ndarray]:
    """The weights of a file's `names` and `shapes`, with a verdict on their checksums."""
    base, names = int(file.read("hash_base")), [str(name) for name in file.read("names")]
    shapes = [tuple(int(number) for number in re.findall(r"\d+", str(text))) for text in file.read("shapes")]
    arrays = {
        name: hashed_weights(name, shape, base + k)
        for k, (name, shape) in enumerate(zip(names, shapes, strict=True))
    }
    sums = np.array([(a.sum(dtype=np.float64), np.abs(a).sum(dtype=np.float64)) for a in arrays.values()])
    off = np.abs(sums - file.read("checksum")).max(axis=1) > CHECKSUM_TOLERANCE * sums[:, 1]
    file.require("checksum", not off.any(), f"{off.sum()} of {len(off)} made weights have another sum")
    return arrays


def hashed_weights(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """One weight: uniform, its range chosen by name and shape so that signals keep their size."""
    u = hash_uniform(seed, math.prod(shape)).reshape(shape)
    if name.endswith(".weight") and len(shape) > 1:
        return u * np.float32(math.sqrt(3 / math.prod(shape[1:])))
    if name in ("pos_embed", "cls_token"):
        return np.float32(0.5) * u
    scaled = np.float32(0.2) * u
    return np.float32(1) + scaled if name.endswith(".weight") else scaled
