"""Golden checks of task losses: values of MTLoRA's. The files hold no gradients."""

from pathlib import Path

import jax.numpy as jnp
from jax import Array

from icm_jax.tasks import losses
from weights_convert.golden_file import GoldenFile, Row, Tolerance

VALUE = Tolerance(relative=1e-6)  # both sum in float32


def check_losses(path: Path) -> list[Row]:
    """Cross-entropy, both weightings of binary cross-entropy, depth and normals."""
    file = GoldenFile(path)

    def maps(name: str) -> Array:
        return jnp.asarray(file.read_map(name))

    def plane(name: str) -> Array:
        return maps(name)[..., 0]

    ce = losses.cross_entropy(maps("ce_logits"), plane("ce_label").astype(int))
    file.compare("ce", ce, VALUE)
    logits, label = plane("bce_logits"), plane("bce_label")
    file.compare("bce_auto", losses.balanced_binary_cross_entropy(logits, label), VALUE)
    file.compare("bce_pos095", losses.balanced_binary_cross_entropy(logits, label, 0.95), VALUE)
    file.compare("depth_l1", losses.depth_l1(plane("depth_pred"), plane("depth_label")), VALUE)
    file.compare("normals_l1", losses.normals_l1(maps("normals_pred"), maps("normals_label")), VALUE)
    return file.finish()
