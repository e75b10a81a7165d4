"""What steering a frozen codec costs: memory and time of a training step, and switching the task of a loaded codec.

    ICM_WEIGHTS=WEIGHTS python -m benchmarks.steering --methods prompts sfma full [--task classification] [--rounds 5]

For each method of `configs/transtic/small.py`: bytes of what a step holds, as the compiled program counts its arguments
and temporaries, and seconds a step beside the base codec's own step plus the network's (its gradient in the picture),
timed in turns. Then two adapters of one specification on one codec: time of the switch, and programs it compiled.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs.transtic.small import TASKS, get_config
from icm_jax import Codec
from icm_jax.adapters import store
from icm_jax.adapters.registry import adapter_values, initial_variables
from icm_jax.adapters.sfma import SfmaSpec
from icm_jax.host_memory import keep_freed_memory
from icm_jax.models import programs
from icm_jax.models.registry import spec_values
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.registry import load_recognizer
from icm_jax.train import loop
from icm_jax.train.mesh import batch_sharding, make_mesh, replicated
from icm_jax.train.optimizer import optimizer
from icm_jax.train.registry import default_config, parse


def step_of(raw: Any) -> tuple[Callable[[], None], dict[str, int]]:
    """One step of a config, called again and again on one batch, and its bytes."""
    config, objective = parse(raw)
    mesh, tx = make_mesh(config.mesh), optimizer(config.optim)
    state, shardings = loop.place_state(objective, config, tx, mesh)
    crop, count = raw.data.crop, raw.data.batch_size
    pixels = np.random.default_rng(0).integers(0, 256, (count, crop, crop, 3), np.uint8)
    rows = {"image": pixels, "id": np.zeros(count, np.int32)}
    batch = jax.device_put(rows, batch_sharding(mesh))
    key = jax.jit(partial(jax.random.key, 0), out_shardings=replicated(mesh))()
    compiled, _ = loop.compile_step(objective, config, tx, shardings, (state, batch, key))
    memory = compiled.memory_analysis()
    held = {
        "trained": size(state.params),
        "frozen": size(state.frozen),
        "optimiser": size(state.opt_state),
        "average": size(state.average),
        "arguments": memory.argument_size_in_bytes,
        "results not in place": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
    }

    def run() -> None:
        nonlocal state
        state, metrics = jax.block_until_ready(compiled(state, batch, key))
        assert metrics["finite"]

    return run, held


def size(tree: Any) -> int:
    """Bytes of all arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree) if hasattr(leaf, "nbytes"))


def base_config(raw: Any) -> Any:
    """The base codec's own training on the same batches."""
    own = default_config("base_codec")
    own.model = spec_values(Codec.load(raw.transfer.base, raw.transfer.quality).stored.spec)
    own.data.update(raw.data)
    return own


def network_step(network: Recognizer, crop: int, count: int) -> Callable[[], None]:
    """The network on originals and decoded pictures, and its gradient in the latter."""

    @jax.jit
    def gradient(network: Recognizer, x_hat: jax.Array, x: jax.Array) -> jax.Array:
        def difference(x_hat: jax.Array) -> jax.Array:
            pairs = zip(network.features(x_hat), network.features(x), strict=True)
            return sum((jnp.mean((a - b) ** 2) for a, b in pairs), start=jnp.zeros(()))

        return jax.grad(difference)(x_hat)

    x = jax.random.uniform(jax.random.key(0), (count, crop, crop, 3))

    def run() -> None:
        jax.block_until_ready(gradient(network, 0.9 * x, x))

    return run


def switching(rounds: int) -> None:
    """Two adapters of one specification on the included base."""
    codec, spec = Codec.load("tic-base"), SfmaSpec(middle=16)
    image = np.zeros((128, 128, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for seed in range(2):
            variables = initial_variables(spec, codec.stored.spec, jax.random.key(seed))
            files.append(Path(folder, f"{seed}.safetensors"))
            store.save(store.make_adapter(f"task{seed}", "", spec, variables, codec.stored), files[-1])
        first = codec.with_adapter(files[0])
        first.decompress(first.compress(image))
        count = compiled_programs(codec, spec)
        seconds = []
        for index in range(rounds):
            start = time.perf_counter()
            other = codec.with_adapter(files[index % 2])
            seconds.append(time.perf_counter() - start)
            other.decompress(other.compress(image))
        print(
            f"switching {adapter_values(spec)['name']}: {1000 * statistics.median(seconds):.1f} ms from its file, "
            f"{compiled_programs(codec, spec) - count} programs compiled"
        )


def compiled_programs(codec: Codec, spec: Any) -> int:
    """Executables that are kept for a specification."""
    return sum(step._cache_size() for step in programs.programs(codec.stored.spec, spec))


def main() -> None:
    """Prints a table of bytes, one of times, and the switch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="classification", choices=tuple(TASKS))
    parser.add_argument("--methods", nargs="+", default=["prompts", "sfma", "full"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    raw = get_config(f"{options.task}-{options.methods[0]}")
    network = load_recognizer(raw.transfer.recognizer)
    runs = {
        "base": step_of(base_config(raw)),
        "network": (network_step(network, 128, raw.data.batch_size), {}),
    }
    for method in options.methods:
        runs[method] = step_of(get_config(f"{options.task}-{method}"))
    for name, (_, held) in runs.items():
        if held:
            print(f"{name:<18}", "  ".join(f"{what} {count:,}" for what, count in held.items()))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(options.rounds + 1):  # the first round is not counted
        for name, (run, _) in runs.items():
            start = time.process_time()
            run()
            seconds[name] += [time.process_time() - start] if index else []
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    together = medians["base"] + medians["network"]
    for name, median in medians.items():
        print(f"{name:<18} {median:.3f} s of CPU a step, {median / together:.2f} of base and network")
    switching(options.rounds)


if __name__ == "__main__":
    main()
