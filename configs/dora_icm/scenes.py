"""DoRA-ICM on rendered scenes: everything of the paper's system, small enough for a processor.
Expected: a chain that works and methods that can be compared, not the paper's numbers.

First a backbone, trained whole and without a codec on the normals of the scenes:

    python -m icm_jax.main --config=configs/dora_icm/scenes.py:backbone --workdir=runs/backbone

Then a task on it, frozen but for its DoRA layers:

    python -m icm_jax.main --config=configs/dora_icm/scenes.py:dora --config.dense.task=semseg \
        --config.dense.backbone=runs/backbone/codecs/backbone.safetensors --workdir=runs/semseg

The other methods of `configs/dora_icm/methods.py` go by their names: `:full`, `:lora`, `:full-baseline` …
`:smoke` takes two steps, `:smoke,METHOD` those of another method. For another task set model.outputs to its channels.
`:small,METHOD` is a tenth of the network, trained for a tenth of the steps: the chain of docs/dora_icm.md, measured in
docs/results/dora_icm.md.
"""

import ml_collections

from configs.dora_icm.methods import ALL, change
from configs.smoke import few_steps
from icm_jax.adapters.low_rank import QKV
from icm_jax.train.registry import default_config

CHANNELS = {"semseg": 6, "depth": 1, "normals": 3, "edge": 1}


def get_config(variant: str = "dora") -> ml_collections.ConfigDict:
    """A model of 128×128 pictures with a backbone of EVA-02's layout, 12 blocks of 192 channels."""
    size, _, method = variant.rpartition(",")
    if method in ("smoke", "small"):
        size, method = method, "dora"
    config = default_config("dense_prediction")
    config.name = "scenes"
    config.model = {
        "outputs": CHANNELS["semseg"],
        "width": 192,
        "depth": 12,
        "heads": 3,
        "sub_ln": False,
        "patch": 16,
        "grid": (8, 8),
        "tap": "last",
        "rank": 8,
        "alpha": 8.0,
        "magnitude": True,
        "targets": QKV,
        "preliminary": (64, 48, 32),
        "N": 64,
        "compress": True,
        "decoder_widths": (64, 48, 32),
        "decoder_blocks": 2,
    }
    config.data = {"name": "scenes", "count": 2000, "size": 128, "seed": 1, "batch_size": 8, "folder": ""}
    config.optim.update(
        learning_rate=5e-4, total_steps=20_000, warmup_steps=500, schedule="cosine", ema_decay=0.999
    )
    config.checkpoint.every_steps = 1000
    config.log.every_steps = 50
    if method == "backbone":
        config.name = "scenes-backbone"
        config.model.update(outputs=CHANNELS["normals"], rank=0, compress=False)
        config.dense.task = "normals"
        config.trainable = ALL
    else:
        change(config, method)
    if config.model.patch == 14:
        config.data.size = 112  # the same grid of patches
    if size == "small":
        config.model.update(width=96, depth=4, preliminary=(48, 32), N=32)
        config.model.update(decoder_widths=_narrow(config, (48, 32, 16, 8)), decoder_blocks=1)
        steps = 6000 if method == "backbone" else 2000
        config.optim.update(learning_rate=1e-3, total_steps=steps, warmup_steps=100, ema_decay=0.99)
    if size == "smoke":
        config.model.update(width=24, depth=4, heads=2, rank=min(config.model.rank, 2), preliminary=(8,))
        config.model.update(
            N=8, decoder_widths=_narrow(config, (16, 16, 16, 16)), decoder_blocks=1, grid=(4, 4)
        )
        config.data.update(count=8, size=4 * config.model.patch)
        few_steps(config)
    return config


def _narrow(config: ml_collections.ConfigDict, widths: tuple[int, ...]) -> tuple[int, ...]:
    """As many stages as the method has."""
    return widths[: len(config.model.decoder_widths)]
