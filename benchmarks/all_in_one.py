"""What many tasks cost: decoding, and a training step's work and memory.

    python -m benchmarks.all_in_one decoding     multiply-accumulates of the decoder, and times of runs in turns
    python -m benchmarks.all_in_one work         of a training step, against as many single-task steps
    python -m benchmarks.all_in_one memory       of the compiled step of configs/all_in_one/pascal.py, at 512×512

Training is with the published MTLoRA, its weights zero: none are needed, as no step is run. Time is CPU time of
this process on one thread; only the ratios mean something.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from configs.all_in_one import pascal
from icm_jax import paths
from icm_jax.adapters.all_in_one import AllInOneSpec
from icm_jax.adapters.registry import adapted, initial_variables
from icm_jax.adapters.store import make_adapter
from icm_jax.codec import Codec
from icm_jax.evaluate.complexity import complexity
from icm_jax.evaluate.macs import count_in_jaxpr
from icm_jax.models.registry import build
from icm_jax.models.tic import TICSpec
from icm_jax.objectives.all_in_one import SECTIONS, all_in_one
from icm_jax.objectives.downstream import Downstream, Labelled
from icm_jax.recognizers.mtlora import MTLoRA, MTLoRASpec, of_tasks
from icm_jax.recognizers.registry import with_params
from icm_jax.tasks.mti_net import TASKS
from icm_jax.train.compute import compiler_options
from icm_jax.train.config import RunConfig, plain_values, run_config, section
from icm_jax.train.export import make_codec
from icm_jax.train.objective import Objective
from icm_jax.train.optimizer import optimizer
from icm_jax.train.state import initial_state
from icm_jax.train.step import make_train_step

SIZE = 512  # pixels a side of training pictures
GIB = 2**30


@dataclass(frozen=True)
class Shapes:
    """The downstream network with zeros for weights."""

    def build(self, tasks: Sequence[str], dataset: str) -> Downstream:
        """See `DownstreamSpec.build`."""
        network = MTLoRA(MTLoRASpec())
        made = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), made)
        chosen = {task: TASKS[dataset][task] for task in tasks}
        return Labelled(of_tasks(with_params("mtlora", network, zeros), tasks), chosen)


def objective_of(config: ml_collections.ConfigDict) -> tuple[RunConfig, Objective]:
    """A config's objective, judged by such a network."""
    values = plain_values(config)
    read = {name: SECTIONS[name] for name in ("adapter", "data")}
    own: dict[str, Any] = {name: make(values[name]) for name, make in read.items()}
    own["all_in_one"] = section("all_in_one", SECTIONS["all_in_one"], values["all_in_one"])
    run = run_config(values)
    return run, all_in_one(run, downstream=Shapes(), **own)


def shapes_of(tasks: Sequence[str], rows: int) -> Mapping[str, Any]:
    """A batch of labelled pictures."""
    channels = {"image": (3,), "normals": (3,)}
    dtypes = {"normals": jnp.float32}
    return {
        name: jax.ShapeDtypeStruct((rows, SIZE, SIZE, *channels.get(name, ())), dtypes.get(name, jnp.uint8))
        for name in ("image", *tasks)
    }


def decoding(counts: Sequence[int] = (1, 2, 4, 8, 12), side: int = 256, rounds: int = 15) -> None:
    """The decoder's cost by number of tasks: operations, then time, of random weights."""
    specs = {n: AllInOneSpec(tasks=tuple(f"task{k}" for k in range(n))) for n in {*counts, *range(1, 5)}}
    kmacs = {n: complexity(TICSpec(), specs[n]) for n in counts}
    print("tasks  decoder kMAC/px  by the papers' rule  of one task")
    for n, found in kmacs.items():
        ratio = found.dec_kmacs_paper / kmacs[1].dec_kmacs_paper
        print(f"{n:>5}  {found.dec_kmacs:>15.1f}  {found.dec_kmacs_paper:>19.1f}  {ratio:>11.2f}")
    params = jax.jit(build(TICSpec()).init)(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    stored = make_codec("random", 1, 0.01, TICSpec(), params, {})
    base = Codec(stored)
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    y_hat = jnp.zeros((1, side // 16, side // 16, TICSpec().M))
    transforms: dict[int, Callable[[], Any]] = {}
    streams: dict[int, Callable[[], Any]] = {}
    for n in range(1, 5):
        variables = initial_variables(specs[n], TICSpec(), jax.random.key(1))
        codec = base.with_adapter(make_adapter(f"{n}-tasks", "all", specs[n], variables, stored))
        streams[n] = partial(codec.decompress_pictures, codec.compress(image))
        run = jax.jit(partial(build(TICSpec(), specs[n]).apply, method="synthesise"))
        transforms[n] = partial(run, adapted(params, variables), y_hat)
    print(f"{side}×{side}, medians of {rounds} runs in turns, seconds of CPU")
    for name, runs in (("g_s alone", transforms), ("stream to pictures", streams)):
        median = medians(runs, rounds)
        times = ", ".join(f"{n} tasks {found / median[1]:.2f}" for n, found in median.items() if n > 1)
        print(f"{name}: one task {median[1]:.3f} s; times that: {times}")


def medians(runs: Mapping[int, Callable[[], Any]], rounds: int) -> dict[int, float]:
    """Median CPU time of this process in each of the runs, which take turns."""
    spent: dict[int, list[float]] = {n: [] for n in runs}
    for turn in range(rounds + 1):
        for n, run in runs.items():
            start = time.process_time()
            jax.block_until_ready(run())
            if turn:  # the first compiles
                spent[n].append(time.process_time() - start)
    return {n: float(np.median(seconds)) for n, seconds in spent.items()}


def step_of(variant: str, rows: int) -> tuple[Any, tuple[Any, ...], ml_collections.ConfigDict]:
    """A training step, the shapes of its arguments, and its config."""
    config = pascal.get_config(variant)
    run, objective = objective_of(config)
    tx = optimizer(run.optim)
    params = jax.eval_shape(objective.initial_params, jax.random.key(0))
    trained, frozen = paths.select(params, objective.trainable)
    state = jax.eval_shape(partial(initial_state, tx=tx), trained, frozen, {})
    key = jax.eval_shape(lambda: jax.random.key(0))
    arguments = (state, shapes_of(config.all_in_one.tasks, rows), key)
    return make_train_step(objective, run, tx), arguments, config


def work() -> None:
    """Multiply-accumulates of a training step."""
    counted = {}
    for variant in ("aio", *(f"aio-{task}" for task in pascal.TASKS)):
        step, arguments, _ = step_of(variant, 1)
        counted[variant] = count_in_jaxpr(jax.make_jaxpr(step)(*arguments).jaxpr)
        print(f"{variant:<16} {counted[variant] / 1e9:8.1f} GMAC a picture", flush=True)
    single = sum(value for variant, value in counted.items() if variant != "aio")
    print(f"all tasks at once: {counted['aio'] / single:.2f} of {len(counted) - 1} single-task steps")


def memory(rows: int) -> None:
    """Bytes of the compiled step, in the order that training asks XLA for and in that of its own."""
    step, arguments, config = step_of("aio", rows)
    lowered = jax.jit(step, donate_argnums=0).lower(*arguments)
    print(
        f"{rows} pictures of {SIZE}×{SIZE}, {len(config.all_in_one.tasks)} tasks, float32, remat "
        f"{config.compute.remat}, on {jax.default_backend()}"
    )
    for order, options in (("as trained", compiler_options(config.compute.remat)), ("XLA's default", None)):
        found = lowered.compile(options).memory_analysis()
        held, temporaries = found.argument_size_in_bytes / GIB, found.temp_size_in_bytes / GIB
        print(
            f"{order}: arguments {held:.2f} GiB, temporaries {temporaries:.2f} GiB, together "
            f"{held + temporaries:.2f} GiB"
        )


def main() -> None:
    """Runs one of the three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("decoding", "work", "memory"))
    parser.add_argument("--rows", type=int, default=4, help="pictures of a batch, for memory (%(default)s)")
    options = parser.parse_args()
    {"decoding": decoding, "work": work, "memory": lambda: memory(options.rows)}[options.what]()


if __name__ == "__main__":
    main()
