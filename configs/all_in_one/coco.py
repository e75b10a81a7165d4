"""All-in-One for detection and instance segmentation, two tasks that share a stream (the paper's Figure 4).

    python -m icm_jax.main --config=configs/all_in_one/coco.py --workdir=runs/coco/aio \
        --config.all_in_one.base=runs/base/codecs/q4 --config.data.folder=COCO/train2017

The paper does not say how these are trained. Here as AdaptICMH is: features p2 to p6 of Faster and Mask R-CNN, their
squared difference to those of the photo, no labels. Rates and variants as in pascal.py. `:smoke` takes two steps, with
features of a small network of random weights in place of the detectors'. Expected, from the paper's Figure 4: curves
of both tasks near those of single-task codecs, or above them; nobody has run this recipe to its end here.

    icm eval COCO/val2017 --codecs 'AIO/1=BASE+runs/coco/aio/codecs/coco-aio.safetensors#detection' \
        --task detection --labels instances_val2017.json -o results/detection
"""

import ml_collections

from configs.all_in_one.published import photos, published, smoke_photos

PHOTOS = 117_266  # of train2017, with objects
TASKS = ("detection", "instances")


def get_config(variant: str = "aio") -> ml_collections.ConfigDict:
    """The recipe of a variant."""
    if variant == "smoke":
        return smoke_photos(published("coco", "aio-features", TASKS, PHOTOS))
    return photos(published("coco", variant, TASKS, PHOTOS), crop=256)
