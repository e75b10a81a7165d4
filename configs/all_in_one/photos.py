"""All-in-One on photos without labels: what published networks see in the uncompressed photo is what is asked for.

    python -m icm_jax.main --config=configs/all_in_one/photos.py --workdir=runs/photos/aio \
        --config.data.folder=PHOTOS --config.downstream.weights='("espnetv2.safetensors","u2netp.safetensors")'

Two tasks, semantic segmentation by ESPNetv2 and saliency by U²-Netp; `:aio-semseg+sal+classification` adds MobileNetV2.
Rates and variants as in pascal.py, so `:sfma-semseg` and `:sfma-sal` are what it is compared with. Files of `weights`
stand in the order of the tasks; $ICM_WEIGHTS holds them under their published names otherwise. `:smoke` takes two steps
with random weights. Expected: as docs/results/all_in_one.md says; nobody has run this length here.
"""

import ml_collections

from configs.all_in_one.published import photos, published, smoke_photos

PHOTOS = 2571
TASKS = ("semseg", "sal")


def get_config(variant: str = "aio") -> ml_collections.ConfigDict:
    """The recipe of a variant."""
    if variant == "smoke":
        return smoke_photos(published("photos", "no-msf-features", TASKS, PHOTOS))
    return photos(published("photos", variant, TASKS, PHOTOS), crop=256)
