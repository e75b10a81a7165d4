"""All-in-One on PASCAL-Context: semantic segmentation, human parts, saliency and normals from one stream.

    python -m icm_jax.main --config=configs/all_in_one/pascal.py --workdir=runs/pascal/aio \
        --config.all_in_one.base=runs/base/codecs/q4 --config.downstream.weights=mtlora.safetensors

One model for every weight of the rate:

    python -m launch.sweep --config=configs/all_in_one/pascal.py --root=runs/pascal/aio \
        --grid 'all_in_one.rate=0.1,0.5,1,2,5' -- --config.all_in_one.base=runs/base/codecs/q4 …

Variants are those of published.py: `:aio` (the default), `:no-tam`, `:no-msf`; the single-task baselines
`:full-semseg`, `:transtic-semseg`, `:sfma-semseg` and so on; fewer tasks, Table 4: `:aio-semseg+human_parts`,
`:aio-semseg+sal`, `:aio-semseg+human_parts+sal`. `:smoke` takes two steps on rendered scenes.

Printed (Table 2, BD-rate and BD-accuracy against the untuned TIC):

    semseg  −74.89 %, +9.61    human parts  −78.91 %, +5.29    saliency  +4.53    normals  +1.20    Δm +0.25

Nobody has run this recipe to its end here. The data: `icm data build pascal_mt --manual-dir DOWNLOADS`; the downstream
network is MTLoRA's published checkpoint, or one trained here (configs/mtlora).
"""

import ml_collections

from configs.all_in_one.published import labelled, published, smoke_scenes

PHOTOS = 4998  # of the training set
TASKS = ("semseg", "human_parts", "sal", "normals")


def get_config(variant: str = "aio") -> ml_collections.ConfigDict:
    """The published recipe of a variant."""
    if variant == "smoke":
        return smoke_scenes(published("pascal", "aio-semseg+edge", TASKS, PHOTOS))
    return labelled(published("pascal", variant, TASKS, PHOTOS), "pascal")
