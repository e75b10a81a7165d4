"""The dense tasks with the losses and weights of MTI-Net (Vandenhende et al., ECCV 2020), by what differs from InvPT's.

MTLoRA is trained with them, and so is All-in-One.
"""

from icm_jax.tasks import dense, losses
from icm_jax.tasks.dense import DenseTask, edge_loss

NORMALS = DenseTask(3, 10.0, losses.normals_l1)
SALIENCY = DenseTask(1, 5.0, edge_loss(positive_weight=None))
TASKS: dict[str, dict[str, DenseTask]] = {
    "scenes": dense.TASKS["scenes"] | {"normals": NORMALS},
    "nyud": dense.TASKS["nyud"] | {"normals": NORMALS},
    "pascal": dense.TASKS["pascal"] | {"normals": NORMALS, "sal": SALIENCY},
}
