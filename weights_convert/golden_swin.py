"""Golden checks of Swin transformers against timm: every stage, features and logits."""

from pathlib import Path

import jax
import jax.numpy as jnp

from weights_convert.golden_file import GoldenFile, Row, Tolerance
from weights_convert.swin import swin_from_state_dict

ACTIVATION = Tolerance(absolute=1e-4)


def check_swin(path: Path) -> list[Row]:
    """Compares every array of a `timm_swin_*` file."""
    file = GoldenFile(path)
    x = jnp.asarray(file.read_map("x"))
    network, params = swin_from_state_dict(file.read_group("sd/"), (x.shape[1], x.shape[2]))
    with jax.default_matmul_precision("highest"):
        taps = jax.jit(network.apply)({"params": params}, x)
    for name, tap in taps.items():
        file.compare(name, tap, ACTIVATION)
    return file.finish()
