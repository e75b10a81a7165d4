"""MTLoRA on NYUD-v2: semantic segmentation, depth and normals.

    python -m icm_jax.main --config=configs/mtlora/nyud.py --workdir=runs/mtlora-nyud \
        --config.multi_task.backbone=swin_tiny_patch4_window7_224.pth

makes `runs/mtlora-nyud/codecs/mtlora.safetensors`, the downstream network of configs/all_in_one/nyud.py, from
Swin-T as Microsoft publishes it. The data: `icm data build nyud_mt --manual-dir DOWNLOADS`.
`:smoke` takes two steps on rendered scenes. Expected: losses of all tasks that fall together; nobody has run this
recipe to its end here, so no accuracy is known.
"""

import ml_collections

from configs.mtlora.published import published, smoke
from icm_jax.train.config import one_of

PHOTOS = 795  # of the training set
TASKS = ("semseg", "depth", "normals")


def get_config(variant: str = "mtlora") -> ml_collections.ConfigDict:
    """The published recipe."""
    one_of("variant of mtlora/nyud.py", variant, ("mtlora", "smoke"))
    config = published("nyud", TASKS, PHOTOS)
    return smoke(config, ("semseg", "depth")) if variant == "smoke" else config
