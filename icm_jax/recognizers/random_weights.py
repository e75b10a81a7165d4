"""Weights for trying a recipe without a published file: drawn by shape, in moments for any network.

A network's own initialisers would have to be compiled, one program a layer, which takes longer than the steps they are
for; what nobody learns from can be drawn outside of a program.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from icm_jax.recognizers.detection.rcnn import RCNN

# Of norms, PReLUs and the magnitudes of DoRA; other vectors are 0.
CONSTANTS = {"scale": 1.0, "var": 1.0, "alpha": 0.25, "m": 1.0}


def random_params(network: nn.Module, size: int, seed: int = 0) -> dict[str, Any]:
    """Parameters of a network of RGB images: normal kernels of variance 1 / inputs, norms that change nothing.

    Args:
        size: pixels a side of the picture that shapes are found with.
    """
    arguments: tuple[Any, ...] = (jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32),)
    init = network.init
    if isinstance(network, RCNN):  # called, it runs no heads, and quality maps need them
        init = partial(init, method="detect")
        arguments = (*arguments, jax.ShapeDtypeStruct((1, 2), jnp.float32))
    params: dict[str, Any] = drawn(jax.eval_shape(init, jax.random.key(seed), *arguments)["params"], seed)
    return params


def drawn(shapes: Any, seed: int = 0) -> Any:
    """Arrays in place of the shapes of a tree of parameters, by the rules of `random_params`."""
    rng = np.random.default_rng(seed)

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if len(leaf.shape) < 2:
            return np.full(leaf.shape, CONSTANTS.get(path[-1].key, 0.0), np.float32)
        inputs = math.prod(leaf.shape[:-1])
        return rng.standard_normal(leaf.shape, np.float32) / np.float32(math.sqrt(inputs))

    return jax.tree_util.tree_map_with_path(draw, shapes)
