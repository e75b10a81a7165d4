"""Two implementations timed in turns, so that other load on the machine hits both.

Import before JAX and PyTorch: `settle` has to decide on threads and memory first.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def settle(description: str | None) -> argparse.Namespace:
    """Reads the options every benchmark has and applies threads and memory to this process."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7, help="timed runs of each")
    parser.add_argument("--small", action="store_true", help="a quick run on less work")
    parser.add_argument(
        "--default-malloc", action="store_true", help="let glibc return freed memory to the kernel, for both"
    )
    options = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if options.threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if hasattr(os, "sched_setaffinity"):  # XLA has as many threads as it sees cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    if not options.default_malloc:
        from icm_jax.host_memory import keep_freed_memory

        keep_freed_memory()
    import torch

    torch.set_num_threads(options.threads)
    return options


def random_params(spec: Any) -> dict[str, np.ndarray]:
    """Parameters of a TIC as "/"-joined paths: small normal numbers, around 1 for the scales of norms."""
    import jax
    import jax.numpy as jnp
    from flax import traverse_util

    from icm_jax.models.registry import build

    shapes = jax.eval_shape(build(spec).init, jax.random.key(0), jnp.zeros((1, 256, 256, 3)))["params"]
    rng = np.random.default_rng(0)
    return {
        path: (path.endswith("scale") + rng.normal(0, 0.05, leaf.shape)).astype(np.float32)
        for path, leaf in traverse_util.flatten_dict(shapes, sep="/").items()
    }


def compare(title: str, runs: Mapping[str, Callable[[], Any]], rounds: int) -> None:
    """Times every run `rounds` times in turns and prints medians; the ratio is the last one's over the first's."""
    for run in runs.values():
        run()  # compilation, caches
    wall: dict[str, list[float]] = {name: [] for name in runs}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - wall_start)
            cpu[name].append(time.process_time() - cpu_start)
    print(f"{title}\n{'':<10}{'wall':>10}{'CPU time':>12}   medians of {rounds}")
    for name in runs:
        print(f"{name:<10}{statistics.median(wall[name]):>8.3f} s{statistics.median(cpu[name]):>10.3f} s")
    ours, *_, theirs = runs
    ratios = [statistics.median(times[theirs]) / statistics.median(times[ours]) for times in (wall, cpu)]
    print(f"{'ratio':<10}{ratios[0]:>8.2f} x{ratios[1]:>10.2f} x")
