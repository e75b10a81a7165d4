"""All-in-One on NYUD-v2: semantic segmentation, depth and normals from one stream.

    python -m icm_jax.main --config=configs/all_in_one/nyud.py --workdir=runs/nyud/aio \
        --config.all_in_one.base=runs/base/codecs/q4 --config.downstream.weights=mtlora.safetensors

Rates and variants as in pascal.py.

Printed (Table 3, BD-rate and BD-accuracy against the untuned TIC):

    semseg  −66.06 %, +4.06    depth  −79.67 %, +0.18    normals  −46.70 %, +1.11    Δm +0.28

Nobody has run this recipe to its end here. The data: `icm data build nyud_mt --manual-dir DOWNLOADS`. No downstream
network of these tasks is published: train one (configs/mtlora).
"""

import ml_collections

from configs.all_in_one.published import labelled, published, smoke_scenes

PHOTOS = 795  # of the training set
TASKS = ("semseg", "depth", "normals")


def get_config(variant: str = "aio") -> ml_collections.ConfigDict:
    """The published recipe of a variant."""
    config = published("nyud", "aio-semseg" if variant == "smoke" else variant, TASKS, PHOTOS)
    return smoke_scenes(config) if variant == "smoke" else labelled(config, "nyud")
