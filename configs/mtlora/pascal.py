"""MTLoRA on PASCAL-Context: semantic segmentation, human parts, saliency and normals.

    python -m icm_jax.main --config=configs/mtlora/pascal.py --workdir=runs/mtlora-pascal \
        --config.multi_task.backbone=swin_tiny_patch4_window7_224.pth

makes `runs/mtlora-pascal/codecs/mtlora.safetensors`, the downstream network of configs/all_in_one/pascal.py, from
Swin-T as Microsoft publishes it. The data: `icm data build pascal_mt --manual-dir DOWNLOADS`.
`:smoke` takes two steps on rendered scenes. Expected: losses of all tasks that fall together; nobody has run this
recipe to its end here, so no accuracy is known.
"""

import ml_collections

from configs.mtlora.published import published, smoke
from icm_jax.train.config import one_of

PHOTOS = 4998  # of the training set
TASKS = ("semseg", "human_parts", "sal", "normals")


def get_config(variant: str = "mtlora") -> ml_collections.ConfigDict:
    """The published recipe."""
    one_of("variant of mtlora/pascal.py", variant, ("mtlora", "smoke"))
    config = published("pascal", TASKS, PHOTOS)
    return smoke(config, ("semseg", "normals")) if variant == "smoke" else config
