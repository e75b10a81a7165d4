"""What sharding does to memory and traffic: a training step compiled for 1, 2, 4 and 8 virtual devices.

    python benchmarks/scaling.py --config=configs/base_tic.py:smoke

For fsdp = all devices and for data parallelism alone: bytes of state a device, temporaries a device, and the bytes a
step sends through every kind of collective, read from the compiled program. Nothing is run: virtual devices share one
processor, so a time would say nothing about real ones.
"""

import argparse
import importlib
import math
import os
import re
from functools import partial

ITEM_BYTES = {
    "f32": 4,
    "bf16": 2,
    "f16": 2,
    "s32": 4,
    "u32": 4,
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "u64": 8,
    "s64": 8,
}
COLLECTIVE = re.compile(
    r"= (\(?[^=]*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
COMMENT = re.compile(r"/\*.*?\*/")  # "/*index=5*/" inside long tuples
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")


def collective_bytes(hlo: str) -> dict[str, int]:
    """Bytes of the results of every collective in a compiled program's text, by kind."""
    found: dict[str, int] = {}
    for shapes, kind in COLLECTIVE.findall(COMMENT.sub("", hlo)):
        for dtype, dimensions in ARRAY.findall(shapes):
            size = ITEM_BYTES.get(dtype, 0)
            for dimension in filter(None, dimensions.split(",")):
                size *= int(dimension)
            found[kind] = found.get(kind, 0) + size
    return found


def compile_one(config_name: str, devices: int, fsdp: int) -> dict[str, object]:
    """Measures the step of a config on the first `devices` devices; arrays stay shapes."""
    import jax
    import jax.numpy as jnp

    from icm_jax.train import loop
    from icm_jax.train.mesh import AXES, batch_sharding, param_shardings, replicated, tree_shardings
    from icm_jax.train.optimizer import optimizer
    from icm_jax.train.registry import parse
    from icm_jax.train.state import initial_state

    path, _, variant = config_name.partition(":")
    raw = importlib.import_module(path.removesuffix(".py").replace("/", ".")).get_config(variant)
    raw.mesh.update(fsdp=fsdp, min_size=64)  # a small model: split what is worth splitting in a large one
    config, objective = parse(raw)
    tx = optimizer(config.optim)
    mesh = jax.make_mesh(
        (devices // fsdp, fsdp), AXES, (jax.sharding.AxisType.Auto,) * 2, devices=jax.devices()[:devices]
    )
    params = jax.eval_shape(objective.initial_params, jax.random.key(0))
    state = jax.eval_shape(partial(initial_state, tx=tx), params, {}, {})
    shardings = tree_shardings(state, param_shardings(params, mesh, config.mesh), mesh)
    placed = jax.tree.map(
        lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), state, shardings
    )
    rows, crop = objective.batch_size, raw.data.crop
    batch = {
        "image": jax.ShapeDtypeStruct((rows, crop, crop, 3), jnp.uint8, sharding=batch_sharding(mesh)),
        "id": jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=batch_sharding(mesh)),
    }
    key = jax.eval_shape(partial(jax.random.key, 0))
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=replicated(mesh))
    compiled, flops = loop.compile_step(objective, config, tx, shardings, (placed, batch, key))
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "state_bytes": sum(
            math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
            for leaf in jax.tree.leaves(placed)
        ),
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "flops_per_image": flops / rows,
        "collectives": collective_bytes(compiled.as_text()),
    }


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/base_tic.py:smoke")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={max(options.devices)}"
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # of machine code, which nobody looks at
    print(
        "| devices | fsdp | state MiB/device | temporaries MiB/device | all-reduce MiB | all-gather MiB | other MiB |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for devices in options.devices:
        for fsdp in sorted({1, devices}):
            row = compile_one(options.config, devices, fsdp)
            sent = dict(row["collectives"])
            columns = [
                row["state_bytes"],
                row["temporary_bytes"],
                sent.pop("all-reduce", 0),
                sent.pop("all-gather", 0),
            ]
            cells = [f"{value / 2**20:.2f}" for value in (*columns, sum(sent.values()))]
            print(f"| {devices} | {fsdp} | {' | '.join(cells)} |", flush=True)
    print(
        f"\n{row['parameters']:,} trained parameters, {row['flops_per_image'] / 1e9:.2f} GFLOP an image and step"
    )


if __name__ == "__main__":
    main()
