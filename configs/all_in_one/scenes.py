"""All-in-One on rendered scenes, with labels and without any download: semseg, depth and normals from one stream.

    python -m icm_jax.main --config=configs/all_in_one/scenes.py --workdir=runs/scenes/aio \
        --config.downstream.weights=runs/mtlora/codecs/mtlora.safetensors

The downstream network is that of configs/mtlora/scenes.py. Rates and variants as in pascal.py; the number of tasks:
`:aio-semseg`, `:aio-semseg+depth`, `:aio-semseg+depth+normals`, and `edge` as a fourth. `:smoke` takes two steps.
Expected: losses of all tasks that fall together; nobody has run this length here.

`:small,VARIANT@QUALITY` is of the length, base and adapters of small.py, behind the network of configs/mtlora/scenes.py
`:small`, and starts as those do. Expected: docs/results/all_in_one.md.
"""

import ml_collections

from configs.all_in_one.published import published, smoke_scenes
from configs.all_in_one.small import shorten, with_quality
from icm_jax.tasks.mti_net import TASKS as MTI_NET

PHOTOS = 2000
TASKS = ("semseg", "depth", "normals")


def get_config(variant: str = "aio") -> ml_collections.ConfigDict:
    """The recipe of a variant."""
    if variant == "smoke":
        return smoke_scenes(published("scenes", "no-tam-normals", TASKS, PHOTOS))
    small = variant.startswith("small,")
    variant, quality = with_quality(variant.removeprefix("small,")) if small else (variant, 0)
    config = published("scenes", variant, TASKS, PHOTOS)
    config.downstream = {"name": "mtlora", "weights": "", "model": {}}
    config.data = {"name": "scenes", "count": PHOTOS, "size": 128, "seed": 1, "batch_size": 4, "folder": ""}
    if small:
        shorten(config, quality, {name: task.weight for name, task in MTI_NET["scenes"].items()})
    return config
