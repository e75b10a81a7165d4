"""Weights that a golden file does not store but names a recipe for: numbers hashed from a seed and an index."""

import math

import numpy as np

from weights_convert.golden_file import GoldenFile, Tolerance

SUM = Tolerance(relative=1e-12)  # of float64 sums in another order
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
INDEX_STEP, SEED_STEP = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03


def hash_uniform(seed: int, count: int) -> np.ndarray:
    """float32 [count] in [-1, 1): SplitMix64 of the index, on a stream of its own for each seed."""
    word = np.uint64(2**64 - 1)
    offset = np.uint64((seed * SEED_STEP + INDEX_STEP) & int(word))
    z = np.arange(count, dtype=np.uint64) * np.uint64(INDEX_STEP) + offset
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(multiplier)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)) / 2.0**24 * 2 - 1).astype(np.float32)


def hash_state_dict(file: GoldenFile) -> dict[str, np.ndarray]:
    """The weights that `hash_base`, `weight_gain`, `names` and `shapes` of a file stand for; `checksum` is compared."""
    base, gain = int(file.read("hash_base")), float(file.read("weight_gain"))
    shapes = [tuple(map(int, text.split(","))) for text in file.read("shapes").tolist()]
    arrays = {
        name: _values(name, shape, base + k, gain)
        for k, (name, shape) in enumerate(zip(file.read("names").tolist(), shapes, strict=True))
    }
    sums = [(a.sum(dtype=np.float64), np.abs(a).sum(dtype=np.float64)) for a in arrays.values()]
    file.compare("checksum", np.array(sums), SUM)
    return arrays


def _values(name: str, shape: tuple[int, ...], seed: int, gain: float) -> np.ndarray:
    """float32 weights of one array: kernels keep the size of what passes, norms are near the identity."""
    u = hash_uniform(seed, math.prod(shape)).reshape(shape)
    if len(shape) > 1:
        return u * np.float32(math.sqrt(3 * gain / math.prod(shape[1:])))
    if name.endswith("running_var"):
        return 1 + np.float32(0.5) * u
    return 1 + np.float32(0.2) * u if name.endswith("weight") else np.float32(0.2) * u
