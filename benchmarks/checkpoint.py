"""How long saving a checkpoint keeps a training waiting, against a hundred of its steps.

    python benchmarks/checkpoint.py --millions=300

A stack of square dense layers with Adam and averaged weights: four float32 arrays a parameter are saved. The wait is
the time `save` takes to return (digests and the copy to host memory); writing goes on beside the steps that follow, and
the benchmark takes them. Steps of 256 rows; a larger batch makes the share smaller.
"""

import argparse
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from icm_jax.train.checkpoint import Checkpoints
from icm_jax.train.config import CheckpointConfig, OptimConfig
from icm_jax.train.optimizer import optimizer
from icm_jax.train.state import initial_state

WIDTH = 4096


def main() -> None:
    """Prints waiting time, step time and their ratio over 100 steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--millions", type=int, default=300, help="millions of parameters")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    options = parser.parse_args()
    layers = max(1, round(options.millions * 1e6 / WIDTH**2))
    tx = optimizer(OptimConfig(learning_rate=1e-4))

    @jax.jit
    def start(key):
        keys = jax.random.split(key, layers)
        return {
            f"layer{i}": {"kernel": jax.random.normal(k, (WIDTH, WIDTH)) / 64} for i, k in enumerate(keys)
        }

    def loss(params, x):
        for i in range(layers):
            x = jnp.tanh(x @ params[f"layer{i}"]["kernel"])
        return jnp.mean(x**2)

    def step(state, x):
        updates, opt_state = tx.update(jax.grad(loss)(state.params, x), state.opt_state, state.params)
        params = jax.tree.map(jnp.add, state.params, updates)
        average = jax.tree.map(lambda a, p: 0.999 * a + 0.001 * p, state.average, params)
        return state.replace(step=state.step + 1, params=params, average=average, opt_state=opt_state)

    key = jax.random.key(0, impl="rbg")
    state = initial_state(start(key), {}, {}, tx)
    step = jax.jit(step, donate_argnums=0)
    x = jax.random.normal(key, (options.rows, WIDTH))
    state = jax.block_until_ready(step(state, x))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        checkpoints = Checkpoints(Path(folder), CheckpointConfig(keep=1))
        checkpoints.save(1, state, jax.random.key(0))  # compiles the digests
        checkpoints.wait()
        begin = time.perf_counter()
        for _ in range(3):
            state = jax.block_until_ready(step(state, x))
        one_step = (time.perf_counter() - begin) / 3
        begin = time.perf_counter()
        checkpoints.save(2, state, jax.random.key(0))
        waiting = time.perf_counter() - begin
        state = jax.block_until_ready(step(state, x))
        checkpoints.close()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    print(f"{parameters / 1e6:.0f} M parameters, {16 * parameters / 2**30:.1f} GiB a checkpoint")
    print(f"save returns after {waiting:.2f} s; a step takes {one_step:.2f} s")
    print(f"share of a 100-step interval: {100 * waiting / (100 * one_step + waiting):.2f} %")


if __name__ == "__main__":
    main()
