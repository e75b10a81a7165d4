"""DoRA-ICM on photos without labels: semantic segmentation as ESPNetv2 sees it, 21 classes of PASCAL VOC.

    W="--config.data.folder=PHOTOS --config.data.weights=WEIGHTS --config.data.labels=runs/labels"
    python -m icm_jax.main --config=configs/dora_icm/photos.py:backbone --workdir=runs/backbone $W \
        --config.teacher.weights=WEIGHTS
    python -m icm_jax.main --config=configs/dora_icm/photos.py:dora --workdir=runs/dora $W \
        --config.dense.backbone=runs/backbone/codecs/backbone.safetensors

WEIGHTS holds the files of ESPNetv2, U²-Netp and MobileNetV2 under their published names. A network that labels looks at
a photo once, and runs/labels keeps what it says. The backbone, of EVA-02's layout, first learns to predict the features
of MobileNetV2, as EVA-02 did those of a CLIP. Decoders and codec are those of `scenes.py:small`. Crops of 128×128, from
photos of 256×256 scaled by 0.4 to 1, show most of a photo; what is evaluated should be scaled alike.

The other methods of `configs/dora_icm/methods.py` go by their names: `:full`, `:lora`, `:full-baseline` …
`:smoke` takes two steps on the included photos with labels of random weights, `:smoke,METHOD` those of another method.
For saliency set dense.task=sal and model.outputs=2. Expected: little; see docs/results/dora_icm.md.
"""

import ml_collections

from configs.dora_icm import scenes
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.tasks.dense import dense_task
from icm_jax.train.registry import default_config


def get_config(variant: str = "dora") -> ml_collections.ConfigDict:
    """A small model of 128×128 crops and a method, or the backbone that methods start from."""
    size, _, method = variant.rpartition(",")
    if method == "smoke":
        size, method = method, "dora"
    smoke = size == "smoke"
    config = scenes.get_config(f"{size or 'small'},{'full' if method == 'backbone' else method}")
    if not smoke:
        config.model.update(width=128, depth=6, heads=2)
        config.optim.update(total_steps=2000, warmup_steps=250)
    config.data = {
        "name": "taught",
        "folder": str(SAMPLE_FOLDER) if smoke else "",
        "crop": config.model.grid[0] * config.model.patch,
        "scales": (0.4, 1.0),
        "batch_size": 2 if smoke else 8,
        "weights": "random" if smoke else "",
        "labels": "",
        "threads": 1,
        "held_out_count": 1 if smoke else 32,
    }
    if method == "backbone":
        return _backbone(config, smoke)
    config.name = config.name.replace("scenes", "photos")
    config.dense.task = "semseg"
    config.model.outputs = dense_task("pascal", config.dense.task).outputs
    return config


def _backbone(methods: ml_collections.ConfigDict, smoke: bool) -> ml_collections.ConfigDict:
    """The run that makes the backbone of these methods."""
    config = default_config("distillation")
    config.name = "photos-backbone"
    config.backbone = {
        field: methods.model[field] for field in ("width", "depth", "heads", "sub_ln", "patch", "grid")
    }
    config.teacher.weights = "random" if smoke else ""
    for part in ("data", "optim", "checkpoint", "log", "compute"):
        config[part] = methods[part]
    if not smoke:
        config.optim.total_steps = 4000
    return config
