"""Images a second of the input pipeline alone, next to what a training step consumes.

    python -m benchmarks.input_pipeline --folder=PHOTOS --crop=256 --batch=16

The step is that of configs/tic_lite.py, the fastest consumer here, on the same crops. Both on this machine, one after
the other; only the ratio is of use.
"""

import argparse
import time

import jax
import jax.numpy as jnp

from icm_jax.data.crops import crop_batches
from icm_jax.train import loop
from icm_jax.train.mesh import batch_sharding, make_mesh
from icm_jax.train.optimizer import optimizer
from icm_jax.train.registry import parse


def main() -> None:
    """Prints both speeds and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()

    batches = crop_batches(options.folder, options.crop, options.batch, 0, options.threads)
    cold = images_per_second(lambda: next(batches), options.batch, options.seconds)
    warm = images_per_second(lambda: next(batches), options.batch, options.seconds)

    from configs import tic_lite

    raw = tic_lite.get_config()
    raw.data.update(folder=options.folder, crop=options.crop, batch_size=options.batch)
    config, objective = parse(raw)
    mesh, tx = make_mesh(config.mesh), optimizer(config.optim)
    state, shardings = loop.place_state(objective, config, tx, mesh)
    batch = jax.device_put(next(batches), batch_sharding(mesh))
    key = jax.random.key(0)
    step, _ = loop.compile_step(objective, config, tx, shardings, (state, batch, key))

    def run() -> None:
        nonlocal state
        state, metrics = step(state, batch, key)
        jnp.asarray(metrics["loss"]).block_until_ready()

    run()
    consumed = images_per_second(run, options.batch, options.seconds)
    print(f"pipeline, files decoded  {cold:10.1f} images/s")
    print(f"pipeline, from memory    {warm:10.1f} images/s")
    print(f"training step            {consumed:10.1f} images/s")
    print(f"ratio                    {warm / consumed:10.1f}")


def images_per_second(run, batch: int, seconds: float) -> float:
    """Speed of `run`, which makes or consumes one batch."""
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        run()
        count += batch
    return count / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
