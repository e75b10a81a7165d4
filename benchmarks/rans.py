"""Speed of the entropy coder beside CompressAI's, on one core.

    python benchmarks/rans.py

1,048,576 symbols over the 64 Gaussian tables, every table equally often: harder than an image, whose scales
are mostly small. The coders take turns and each keeps its best time, so that other load hits both.
Table checks are timed, CompressAI's conversion of arrays to lists is not. Bytes and symbols must be the same.
"""

import glob
import importlib.util
import os
import time
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from icm_jax.bitstream import decode, encode, scale_table
from icm_jax.entropy.tables import gaussian_tables

SYMBOLS = 1 << 20
ROUNDS = 6
RUNS = 4  # in a row, so that the best one finds warm caches


def main() -> None:
    """Prints Msym/s each way, and the ratio to CompressAI where it is installed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tables = gaussian_tables()
    rng = np.random.default_rng(0)
    indexes = rng.integers(0, len(tables.length), SYMBOLS).astype(np.int32)
    symbols = np.rint(rng.normal(0, scale_table()[indexes])).astype(np.int32)
    data = encode(symbols, indexes, tables)
    assert np.array_equal(decode(data, indexes, tables), symbols)
    print(f"{SYMBOLS} symbols, {8 * len(data) / SYMBOLS:.2f} bits a symbol")

    coders: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "icm_jax": (lambda: encode(symbols, indexes, tables), lambda: decode(data, indexes, tables))
    }
    ans = _compressai_ans()
    if ans is not None:
        encoder, decoder = ans.RansEncoder(), ans.RansDecoder()
        values = symbols.tolist()
        arguments = (indexes.tolist(), tables.cdf.tolist(), tables.length.tolist(), tables.offset.tolist())
        assert encoder.encode_with_indexes(values, *arguments) == data
        coders["compressai"] = (
            lambda: encoder.encode_with_indexes(values, *arguments),
            lambda: decoder.decode_with_indexes(data, *arguments),
        )

    best = {name: [float("inf")] * 2 for name in coders}
    for _ in range(ROUNDS):
        for name, ways in coders.items():
            best[name] = [min(old, _seconds(way)) for old, way in zip(best[name], ways, strict=True)]
    for name, (encode_s, decode_s) in best.items():
        print(f"{name:<11} encode {_rate(encode_s)}   decode {_rate(decode_s)}")
    if ans is not None:
        ratios = [theirs / ours for ours, theirs in zip(best["icm_jax"], best["compressai"], strict=True)]
        print(f"ratio       encode {ratios[0]:6.1f} x        decode {ratios[1]:6.1f} x")


def _seconds(run: Callable[[], Any]) -> float:
    """The fastest of a few runs."""
    marks = [time.perf_counter()]
    for _ in range(RUNS):
        run()
        marks.append(time.perf_counter())
    return min(end - start for start, end in pairwise(marks))


def _rate(seconds: float) -> str:
    return f"{SYMBOLS / seconds / 1e6:6.1f} Msym/s"


def _compressai_ans() -> ModuleType | None:
    """CompressAI's coder alone: importing the whole package would need torch and torchvision."""
    package = importlib.util.find_spec("compressai")
    if package is None or not package.submodule_search_locations:
        return None
    (path,) = glob.glob(f"{package.submodule_search_locations[0]}/ans.*.so")
    spec = importlib.util.spec_from_file_location("ans", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
