"""DoRA-ICM on rendered scenes: everything of the paper's system, small enough for a processor.
Expected: a chain that works and methods that can be compared, not the paper's numbers.

First a backbone, trained whole and without a codec on the normals of the scenes:

    python -m icm_jax.main --config=configs/dora_icm/scenes.py:backbone --workdir=runs/backbone

Then a task on it, frozen but for its DoRA layers:

    python -m icm_jax.main --config=configs/dora_icm/scenes.py:dora --config.dense.task=semseg \
        --config.dense.backbone=runs/backbone/codecs/backbone.safetensors --workdir=runs/semseg

`:dora`, `:lora`, `:fixed` (backbone as it is), `:full` (backbone trained too), `:no-supervision` (of the preliminary
prediction) are the paper's ablation. `:smoke` takes two steps. For another task set model.outputs to its channels.
"""

import ml_collections

from icm_jax.train.registry import default_config

CHANNELS = {"semseg": 6, "depth": 1, "normals": 3, "edge": 1}


def get_config(variant: str = "dora") -> ml_collections.ConfigDict:
    """A model of 128×128 pictures with a backbone of EVA-02's layout, 12 blocks of 192 channels."""
    config = default_config("dense_prediction")
    config.name = f"scenes-{variant}"
    config.model = {
        "outputs": CHANNELS["normals" if variant == "backbone" else "semseg"],
        "width": 192,
        "depth": 12,
        "heads": 3,
        "sub_ln": False,
        "grid": (8, 8),
        "rank": 0 if variant in ("backbone", "fixed", "full") else 8,
        "magnitude": variant != "lora",
        "preliminary": (64, 48, 32),
        "N": 64,
        "compress": variant != "backbone",
        "decoder_widths": (64, 48, 32),
    }
    config.data = {"name": "scenes", "count": 2000, "size": 128, "seed": 1, "batch_size": 8, "folder": ""}
    config.optim.update(
        learning_rate=5e-4, total_steps=20_000, warmup_steps=500, schedule="cosine", ema_decay=0.999
    )
    config.checkpoint.every_steps = 1000
    config.log.every_steps = 50
    if variant == "backbone":
        config.dense.task = "normals"
    if variant in ("backbone", "full"):
        config.trainable = ("model/.*",)
    if variant == "no-supervision":
        config.dense.supervise_preliminary = False
    if variant == "smoke":
        config.model.update(
            width=24, depth=2, heads=2, preliminary=(16, 8), N=16, decoder_widths=(16, 16, 16)
        )
        config.model.update(grid=(4, 4))
        config.data.update(count=8, size=64)
        config.optim.total_steps = 2
        config.checkpoint.every_steps = 2
        config.log.every_steps = 1
    return config
