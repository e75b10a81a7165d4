"""What every label of a multi-task data set is: how it is resampled, mirrored and turned, what 255 and 0 mean in it.

Names are those of the stored features and of `icm_jax.tasks.dense`.
"""

from typing import Literal

Kind = Literal["classes", "saliency", "boundary", "depth", "normals"]

KINDS: dict[str, Kind] = {
    "semseg": "classes",  # uint8; 255 counts nowhere
    "human_parts": "classes",  # nothing but 0: no people, the whole map counts nowhere
    "sal": "saliency",  # uint8 0 to 255 as stored, 0 and 1 in training
    "edge": "boundary",  # 0 and 1
    "depth": "depth",  # float32 metres; 0: not measured
    "normals": "normals",  # float32 unit vectors, x right, y up or down as the archive has it; zero: none
}
