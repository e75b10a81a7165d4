"""The dense tasks of NYUD-v2, PASCAL-Context and rendered scenes: channels of a prediction, loss, weight of the loss.

Losses and weights are InvPT's (Ye and Xu, ECCV 2022), which DoRA-ICM builds on. In a model of one task the weight
only scales lmbda; it is kept so that one lmbda means about the same for every task.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.layers.bicubic import bicubic
from icm_jax.models.dora_icm.model import Output
from icm_jax.tasks import losses

Loss = Callable[[Array, Array], Array]


class DenseTask(NamedTuple):
    """One task; `loss` takes a prediction [b, h, w, outputs] and its label, [b, h, w] but for normals."""

    outputs: int
    weight: float
    loss: Loss


def _of_plane(loss: Callable[..., Array], prediction: Float[Array, "b h w 1"], label: Array) -> Array:
    return loss(prediction[..., 0], label)


def _normals(prediction: Float[Array, "b h w 3"], label: Float[Array, "b h w 3"]) -> Array:
    """Summed over the three entries, where `losses.normals_l1` is their mean."""
    return 3 * losses.normals_l1(prediction, label)


def _classes(prediction: Float[Array, "b h w c"], label: Array) -> Array:
    return losses.cross_entropy(prediction, label.astype(jnp.int32))


def edge_loss(positive_weight: float | None = 0.95) -> Loss:
    """Binary cross-entropy of boundaries; None weights by the share of negatives in the batch, as HED does."""
    balanced = partial(losses.balanced_binary_cross_entropy, positive_weight=positive_weight)
    return partial(_of_plane, balanced)


DEPTH = DenseTask(1, 1.0, partial(_of_plane, losses.depth_l1))
NORMALS = DenseTask(3, 10.0, _normals)
EDGE = DenseTask(1, 50.0, edge_loss())
TASKS: dict[str, dict[str, DenseTask]] = {
    "scenes": {"semseg": DenseTask(6, 1.0, _classes), "depth": DEPTH, "normals": NORMALS, "edge": EDGE},
    "nyud": {"semseg": DenseTask(40, 1.0, _classes), "depth": DEPTH, "normals": NORMALS, "edge": EDGE},
    "pascal": {
        "semseg": DenseTask(21, 1.0, _classes),
        "human_parts": DenseTask(7, 2.0, _classes),
        "sal": DenseTask(2, 5.0, losses.balanced_cross_entropy),
        "normals": NORMALS,
        "edge": EDGE,
    },
}


def dense_task(dataset: str, task: str) -> DenseTask:
    """A task by the name of its dataset and its own.

    Raises:
        IcmError: no such dataset or task.
    """
    if dataset not in TASKS:
        raise IcmError(f"dataset {dataset!r} is unknown; choose one of {', '.join(TASKS)}")
    if task not in TASKS[dataset]:
        raise IcmError(f"{dataset} has no task {task!r}; choose one of {', '.join(TASKS[dataset])}")
    return TASKS[dataset][task]


def rate_task_loss(
    output: Output, label: Array, task: DenseTask, lmbda: float | Array, supervise_preliminary: bool = True
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """bpp + lmbda · weight · (loss of the prediction + loss of the preliminary one, enlarged), and its parts.

    Raises:
        IcmError: a label of another size than the prediction.
    """
    height, width = output.prediction.shape[1:3]
    if label.shape[1:3] != (height, width):
        found = "×".join(map(str, label.shape[1:3][::-1]))
        raise IcmError(f"label of {found} for a prediction of {width}×{height}; bring it to the photo's size")
    bpp = output.bits.mean() / (height * width)
    final = task.loss(output.prediction, label)
    parts = {"estimated_bpp": bpp, "final": final}
    if supervise_preliminary:
        parts["preliminary"] = task.loss(bicubic(output.preliminary, (height, width)), label)
    return bpp + lmbda * task.weight * (final + parts.get("preliminary", 0.0)), parts
