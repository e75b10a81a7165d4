"""DoRA-ICM on photos without labels: semantic segmentation as ESPNetv2 sees it, 21 classes of PASCAL VOC.

    W="--config.data.folder=PHOTOS --config.data.weights=WEIGHTS --config.data.labels=runs/labels"
    python -m icm_jax.main --config=configs/dora_icm/photos.py:backbone --workdir=runs/backbone $W
    python -m icm_jax.main --config=configs/dora_icm/photos.py:dora --workdir=runs/dora $W \
        --config.dense.backbone=runs/backbone/codecs/backbone.safetensors

WEIGHTS holds the files of ESPNetv2 and U²-Netp under their published names. Each network looks at a photo once, and
runs/labels keeps what it says. The backbone, of EVA-02's layout, is trained whole and without a codec on saliency as
U²-Netp sees it: another task than the one that it is adapted to. The models are those of `scenes.py:small`.

The other methods of `configs/dora_icm/methods.py` go by their names: `:full`, `:lora`, `:full-baseline` …
`:smoke` takes two steps on the included photos with labels of random weights, `:smoke,METHOD` those of another method.
For saliency set dense.task=sal and model.outputs=2. Expected: little; see docs/results/dora_icm.md.
"""

import ml_collections

from configs.dora_icm import scenes
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.tasks.dense import dense_task


def get_config(variant: str = "dora") -> ml_collections.ConfigDict:
    """A small model of 256×256 crops and a method, or the backbone that methods start from."""
    size, _, method = variant.rpartition(",")
    if method == "smoke":
        size, method = method, "dora"
    config = scenes.get_config(f"{size or 'small'},{method}")
    config.name = config.name.replace("scenes", "photos")
    config.dense.task = "sal" if method == "backbone" else "semseg"
    config.model.outputs = dense_task("pascal", config.dense.task).outputs
    smoke = size == "smoke"
    if not smoke:
        config.model.grid = (16, 16)  # photos are judged whole; grids of 8×8 would be far from theirs
        config.optim.total_steps = 3000
    config.data = {
        "name": "taught",
        "folder": str(SAMPLE_FOLDER) if smoke else "",
        "crop": config.model.grid[0] * config.model.patch,
        "batch_size": 2 if smoke else 4,
        "weights": "random" if smoke else "",
        "labels": "",
        "threads": 1,
        "held_out_count": 1 if smoke else 32,
    }
    return config
