"""A small DoRA-ICM model with random weights, made without compiling its initialisation."""

import dataclasses
from typing import Any

import jax
import numpy as np

from icm_jax import paths
from icm_jax.models.dora_icm.model import initial
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.objectives.random_task_models import SMALL

TINY = dataclasses.replace(SMALL, outputs=3, preliminary=(6,))
NEAR_ONE = ("scale", "var", "m")


def random_model(spec: DoraICMSpec = TINY) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and running statistics: norms near the identity, z_hat not zero, latents that survive rounding."""
    rng = np.random.default_rng(0)

    def filled(tree: Any) -> dict[str, Any]:
        leaves = {}
        for path, leaf in paths.flatten(tree).items():
            values = rng.normal(size=leaf.shape).astype(np.float32) * np.float32(0.1)
            leaves[path] = values + 1 if path.rpartition("/")[2] in NEAR_ONE else values
        return paths.unflatten(leaves)

    params, batch_stats = map(filled, jax.eval_shape(lambda: initial(jax.random.key(0), spec)))
    params["codec"]["h_a"]["conv2"]["bias"] += 2
    params["codec"]["g_a"]["kernel"] *= 20
    return params, batch_stats
