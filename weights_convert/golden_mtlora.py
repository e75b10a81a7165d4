"""Golden checks of MTLoRA: shared and task streams of every stage, heads, predictions."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.recognizers.mtlora import PREPROCESSING
from weights_convert.golden_file import GoldenFile, Row, Tolerance
from weights_convert.mtlora import mtlora_from_state_dict

ACTIVATION = Tolerance(absolute=1e-4)


def check_mtlora(path: Path) -> list[Row]:
    """Compares every array of an `mtlora_*` file."""
    file = GoldenFile(path)
    state_dict = file.read_group("sd/")
    network, params = mtlora_from_state_dict(state_dict)
    image = jnp.asarray(file.read_map("image_u8")) / 255
    with jax.default_matmul_precision("highest"):
        taps = jax.jit(network.apply)({"params": params}, PREPROCESSING.normalise(image))
    for i in range(len(network.spec.swin.depths)):
        _compare_tokens(file, f"stage{i}/shared", taps[f"stage{i}"])
        for task in network.spec.tasks:
            _compare_tokens(file, f"stage{i}/{task}", taps[f"stage{i}/{task}"])
    for task in network.spec.tasks:
        file.compare_map(f"head/{task}", taps[f"head/{task}"], ACTIVATION)
        file.compare_map(f"out/{task}", taps[task], ACTIVATION)
        if (crop := f"out/{task}_crop") in file:
            height, width = file.read(crop).shape[2:]
            file.compare_map(crop, taps[task][:, :height, :width], ACTIVATION)
    return file.finish()


def _compare_tokens(file: GoldenFile, name: str, stage: jax.Array) -> None:
    """Maps are stored as [b, tokens, c]."""
    file.compare(name, np.asarray(stage).reshape(len(stage), -1, stage.shape[-1]), ACTIVATION)
