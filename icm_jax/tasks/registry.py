"""The tasks that decoded images are judged by. Losses of tasks that train networks: `icm_jax.tasks.dense`."""

from icm_jax.errors import IcmError
from icm_jax.tasks import (
    boundary,
    classification,
    depth,
    detection,
    human_parts,
    normals,
    open_images,
    saliency,
    semseg,
)
from icm_jax.tasks.task import Task

TASKS: dict[str, Task] = {
    "classification": classification.TASK,
    "semseg": semseg.TASK,
    "semseg-nyud": semseg.TASK_NYUD,
    "semseg-scenes": semseg.TASK_SCENES,
    "human_parts": human_parts.TASK,
    "saliency": saliency.TASK,
    "depth": depth.TASK,
    "normals": normals.TASK,
    "boundary": boundary.TASK,
    "boundary-nyud": boundary.TASK_NYUD,
    "detection": detection.TASK,
    "instances": detection.TASK_INSTANCES,
    "open-images": open_images.TASK,
}


def get_task(name: str) -> Task:
    """The task of this name; raises IcmError with those there are."""
    if name not in TASKS:
        raise IcmError(f"task {name!r} is unknown; choose one of {', '.join(TASKS)}")
    return TASKS[name]
