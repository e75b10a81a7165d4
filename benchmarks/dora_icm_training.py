"""Table 2 of DoRA-ICM's supplement, counted and compiled here: time, trained parameters, memory, storage by method.

    python -m benchmarks.dora_icm_training [--methods dora full …] [--steps N] [--lean] [--depth N] [--json]

The step is that of `configs/dora_icm/nyud.py:semseg,METHOD` (EVA-02-L, 448×576, batch 2), compiled for this machine.
Memory is the compiler's: arguments, results and temporary buffers together. Without --steps nothing is computed; with
it N steps are timed after one that is not, on random pictures and weights, and 160,000 of them stand in hours beside
what the paper prints. `--lean` multiplies in bfloat16 and recomputes blocks; `--depth` shortens the backbone.
"""

import argparse
import json
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from configs.dora_icm.nyud import get_config
from icm_jax import paths
from icm_jax.adapters.low_rank import count
from icm_jax.evaluate.complexity_tables import COMPLEXITY_LAYOUTS
from icm_jax.evaluate.curves import table
from icm_jax.evaluate.macs import count_in_jaxpr
from icm_jax.train.compute import compiler_options
from icm_jax.train.optimizer import optimizer
from icm_jax.train.registry import parse
from icm_jax.train.state import TrainState, initial_state
from icm_jax.train.step import make_train_step

STEPS, GIB = 160_000, 2**30
METHODS = {  # of ours: what the paper calls them
    "full-baseline": "VVC + Full FT Baseline",
    "dora-baseline": "VVC + DoRA FT Baseline",
    "full": "Full FT",
    "dora": "DoRA FT",
}


class Step(NamedTuple):
    """A compiled training step and what it is called with."""

    run: Any
    state: TrainState  # shapes
    batch: dict[str, Any]  # shapes
    key: Any
    flops: float

    @property
    def memory(self) -> int:
        """Bytes of arguments, results and temporaries; what is donated counts once."""
        found = self.run.memory_analysis()
        held = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
        return int(held + found.temp_size_in_bytes)


def compiled_step(config: ml_collections.ConfigDict) -> Step:
    """The engine's step of a config of DoRA-ICM, compiled from shapes alone."""
    run, objective = parse(config)
    everything = jax.eval_shape(lambda: objective.initial_params(jax.random.key(0, impl="rbg")))
    statistics, rest = paths.select(everything, objective.statistics, "statistics")
    params, frozen = paths.select(rest, run.trainable or objective.trainable, "trainable")
    tx = optimizer(run.optim)
    state = jax.eval_shape(partial(initial_state, tx=tx), params, frozen, statistics)
    sides = tuple(side * config.model.patch for side in config.model.grid)
    rows = (objective.batch_size, *sides)
    batch = {
        "image": jax.ShapeDtypeStruct((*rows, 3), jnp.uint8),
        "semseg": jax.ShapeDtypeStruct(rows, jnp.uint8),
        "id": jax.ShapeDtypeStruct(rows[:1], jnp.int32),
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    traced = jax.jit(make_train_step(objective, run, tx), donate_argnums=0).trace(state, batch, key)
    compiled = traced.lower().compile(compiler_options(config.compute.remat))
    return Step(compiled, state, batch, key, 2.0 * count_in_jaxpr(traced.jaxpr.jaxpr))


def random_values(step: Step) -> tuple[TrainState, dict[str, np.ndarray]]:
    """A state of small weights, norms of one and an optimiser at rest, and random pictures and labels."""
    rng = np.random.default_rng(0)

    def values(path: Any, leaf: Any) -> Any:
        name = str(getattr(path[-1], "key", ""))
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or str(path[0]) == ".opt_state":
            return jnp.zeros(leaf.shape, leaf.dtype)
        if name in ("scale", "var", "m", "alpha"):
            return jnp.ones(leaf.shape, leaf.dtype)
        return jnp.asarray(0.02 * rng.standard_normal(leaf.shape, np.float32))

    state = jax.tree_util.tree_map_with_path(values, step.state)
    pixels = rng.integers(0, 256, step.batch["image"].shape, np.uint8)
    labels = rng.integers(0, 40, step.batch["semseg"].shape, np.uint8)
    return state, {"image": pixels, "semseg": labels, "id": np.zeros(len(pixels), np.int32)}


def seconds_a_step(step: Step, steps: int) -> float:
    """The fastest of `steps` steps, after one that is not counted.

    Raises:
        FloatingPointError: a loss that is not finite.
    """
    state, batch = random_values(step)
    times = []
    for _ in range(1 + steps):
        start = time.perf_counter()
        state, metrics = jax.block_until_ready(step.run(state, batch, jax.random.key(0)))
        times.append(time.perf_counter() - start)
        if not metrics["finite"]:
            raise FloatingPointError(f"loss {metrics['loss']}")
    return min(times[1:])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--steps", type=int, default=0, help="timed steps; 0 compiles only")
    parser.add_argument("--lean", action="store_true", help="bfloat16 and recomputed blocks")
    parser.add_argument("--depth", type=int, default=24, help="blocks of the backbone")
    parser.add_argument("--json", action="store_true", help="print records")
    options = parser.parse_args()
    layout = COMPLEXITY_LAYOUTS["dora-storage"]
    head, counted, rows = ("numbers", "ms a step", *layout.head, "TFLOP a step"), layout.counted(), []
    for method in options.methods:
        config = get_config(f"semseg,{method}" + (",lean" if options.lean else ""))
        config.model.depth = options.depth
        step = compiled_step(config)
        seconds = seconds_a_step(step, options.steps) if options.steps else None
        _, trained, _, one, more = counted[METHODS[method]]["counted"]
        if options.depth != 24:
            trained, one, more = f"{count(step.state.params) / 1e6:.2f}M", "", ""
        hours = f"{seconds * STEPS / 3600:.1f}h" if seconds else ""
        printed = layout.printed[METHODS[method]]
        rows.append((METHODS[method], "printed", "", *printed, ""))
        measured = (hours, trained, f"{step.memory / GIB:.2f}GB", one, more, f"{step.flops / 1e12:.2f}")
        rows.append((METHODS[method], "here", f"{1e3 * seconds:.0f}" if seconds else "", *measured))
    device = jax.devices()[0]
    columns = ("method", *head)
    if options.json:
        print(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1))
        return
    print(table(list(columns), [list(row) for row in rows]))
    print(f"{device.platform}: {device.device_kind}; batch 2 of 448×576, depth {options.depth}")


if __name__ == "__main__":
    main()
