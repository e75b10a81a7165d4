"""What sharding does to memory and traffic: a compiled training step on 1, 2, 4 and 8 virtual devices.

    python benchmarks/scaling.py --config=configs/base_tic.py:smoke

For fsdp = all devices and for data parallelism alone: bytes of state a device, temporaries a device, and the bytes a
step sends through every kind of collective, read from the compiled program. Nothing is run: virtual devices share one
processor, so a time would say nothing about real ones.
"""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
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


def compile_one(config_name: str, fsdp: int) -> dict[str, object]:
    """Measures the step of a config on the devices of this process."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from icm_jax import paths
    from icm_jax.train import loop
    from icm_jax.train.mesh import batch_sharding, bytes_per_device, make_mesh, replicated
    from icm_jax.train.optimizer import optimizer
    from icm_jax.train.registry import parse

    path, _, variant = config_name.partition(":")
    raw = importlib.import_module(path.removesuffix(".py").replace("/", ".")).get_config(variant)
    raw.mesh.update(
        fsdp=fsdp, min_size=64
    )  # the model is small: split what is worth splitting in a large one
    config, objective = parse(raw)
    mesh, tx = make_mesh(config.mesh), optimizer(config.optim)
    state, shardings = loop.place_state(objective, config, tx, mesh)
    crop = raw.data.crop
    image = np.zeros((objective.batch_size, crop, crop, 3), np.uint8)
    rows = {"image": image, "id": np.zeros(objective.batch_size, np.int32)}
    batch = jax.device_put(rows, batch_sharding(mesh))
    key = jax.jit(partial(jax.random.key, 0), out_shardings=replicated(mesh))()
    compiled, flops = loop.compile_step(objective, config, tx, shardings, (state, batch, key))
    params = paths.flatten(state.params)
    return {
        "parameters": sum(int(jnp.size(leaf)) for leaf in params.values()),
        "devices": jax.device_count(),
        "fsdp": fsdp,
        "state_bytes": bytes_per_device(state),
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "flops_per_image": flops / objective.batch_size,
        "collectives": collective_bytes(compiled.as_text()),
    }


def main() -> None:
    """Prints a Markdown table; each row is a process of its own, as devices are fixed when JAX starts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="configs/base_tic.py:smoke")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--fsdp", type=int, help="measure this width in this process and print JSON")
    options = parser.parse_args()
    if options.fsdp:
        print(json.dumps(compile_one(options.config, options.fsdp)))
        return
    print(
        "| devices | fsdp | state MiB/device | temporaries MiB/device | all-reduce MiB | all-gather MiB | other MiB |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for devices in options.devices:
        for fsdp in sorted({1, devices}):
            environment = os.environ | {
                "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
                "JAX_PLATFORMS": "cpu",
            }
            command = [sys.executable, __file__, "--config", options.config, "--fsdp", str(fsdp)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            row = json.loads(done.stdout.splitlines()[-1])
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
