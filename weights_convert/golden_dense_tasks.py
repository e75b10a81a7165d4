"""Golden checks of the dense tasks: losses and their gradients, and what InvPT's meters say."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.metrics import Depth, Normals, Saliency, Segmentation
from icm_jax.metrics.saliency import SET_THRESHOLDS
from icm_jax.tasks.dense import Loss, dense_task, edge_loss
from weights_convert.golden_file import GoldenFile, Row, Tolerance, to_nchw

LOSS = Tolerance(relative=1e-5)
GRADIENT = Tolerance(relative=1e-4)
METRIC = Tolerance(relative=1e-4)
NAMED = {
    "semseg": ("nyud", "semseg"),
    "parts": ("pascal", "human_parts"),
    "sal": ("pascal", "sal"),
    "depth": ("nyud", "depth"),
    "normals": ("nyud", "normals"),
}


def check_dense_tasks(path: Path) -> list[Row]:
    """Compares every array of a `losses_metrics_*` file."""
    file = GoldenFile(path)
    for match in list(file.matching(r"(.+)_out")):
        name = match[1]
        prediction, label = jnp.asarray(file.read_map(f"{name}_out")), _label(file, name)
        value, gradient = jax.value_and_grad(_loss(name))(prediction, jnp.asarray(label))
        file.compare(f"{name}_loss", value, LOSS)
        file.compare(f"{name}_g", to_nchw(gradient), GRADIENT)
    _check_classes(file, "semseg")
    _check_classes(file, "parts")
    _check_depth(file)
    _check_normals(file)
    _check_saliency(file)
    return file.finish()


def _loss(name: str) -> Loss:
    """The loss of a name in the file: a task's, or edges with a weight."""
    if name.startswith("edge"):
        weight = name.removeprefix("edge_")
        return edge_loss(None if weight == "hed" else float(weight.removeprefix("w")))
    return dense_task(*NAMED[name]).loss


def _label(file: GoldenFile, name: str) -> np.ndarray:
    """[b, h, w], but [b, h, w, 3] for normals."""
    label = file.read_map(f"{name}_lbl")
    return label if label.shape[-1] > 1 else label[..., 0]


def _check_classes(file: GoldenFile, name: str) -> None:
    if f"m_{name}_miou" in file:
        prediction, classes = file.read(f"m_{name}_pred"), file.arrays[f"{name}_out"].shape[1]
        score = Segmentation.empty(classes).update(prediction, _label(file, name)).compute()
        file.compare(f"m_{name}_miou", score.miou / 100, METRIC)


def _check_depth(file: GoldenFile) -> None:
    if "m_depth_rmse" in file:
        score = Depth.empty().update(file.read_map("depth_out")[..., 0], _label(file, "depth")).compute()
        for name in ("rmse", "log_rmse", "abs_rel", "sq_rel"):
            file.compare(f"m_depth_{name}", getattr(score, name), METRIC)


def _check_normals(file: GoldenFile) -> None:
    if "m_normals_mean_deg" in file:
        score = Normals.empty().update(file.read_map("normals_out"), _label(file, "normals")).compute()
        file.compare("m_normals_mean_deg", score.mean, METRIC)


def _check_saliency(file: GoldenFile) -> None:
    if "m_sal_maxF" in file:
        logits: Array = jnp.asarray(file.read_map("sal_out"))
        probability = np.asarray(jax.nn.softmax(logits)[..., 1])
        score = Saliency.empty().update(probability, _label(file, "sal")).compute()
        file.compare("m_sal_maxF", score.max_f_beta03_double_sigmoid, METRIC)
        file.compare("m_sal_thresholds", SET_THRESHOLDS, Tolerance(relative=1e-6))
