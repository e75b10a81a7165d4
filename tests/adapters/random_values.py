"""Adapters with random values, made without compiling anything: for tests that do not look at how they start."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.models.registry import build


def random_variables(spec: Any, base: Any, seed: int = 0, scale: float = 1.0) -> dict[str, Any]:
    """Kernels of variance scale²/fan-in, other values near 0, variances near 1."""
    rng = np.random.default_rng(seed)
    size = jax.ShapeDtypeStruct((1, 64, 64, spec.input_channels), jnp.float32)
    shapes = jax.eval_shape(build(base, spec).init, jax.random.key(0), size)

    def value(path: tuple, leaf: Any) -> np.ndarray:
        name = path[-1].key
        fan_in = math.prod(leaf.shape[:-1]) if name == "kernel" else 100
        drawn = rng.normal(size=leaf.shape) * scale * fan_in**-0.5
        return np.asarray(drawn + (name in ("var", "scale")), np.float32)

    adapters = {kind: tree["adapter"] for kind, tree in shapes.items() if "adapter" in tree}
    return jax.tree_util.tree_map_with_path(value, adapters)
