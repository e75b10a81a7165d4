"""Steering a codec to instance segmentation, as TransTIC does it (Kao et al., ICCV 2023, section 4).

    python -m icm_jax.main --config=configs/transtic/segmentation.py:prompts \
        --config.transfer.base=runs/base/codecs/q1 --config.data.folder=PHOTOS --workdir=runs/transtic

`:prompts` (TransTIC), `:sfma` (AdaptICMH), `:sft`, `:full` (the whole codec). `:smoke` runs two steps of SFMA on the
included codec and photos against a small network of random weights.

Loss: d + w · bpp with w = 2, 1, 0.5, 0.2 from the lowest rate up, d over p2 to p6 of Mask R-CNN.
"""

import ml_collections

from configs.transtic.methods import METHODS
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.train.registry import default_config


def get_config(variant: str = "prompts") -> ml_collections.ConfigDict:
    """The published recipe of a method."""
    config = default_config("transfer")
    method = "sfma" if variant == "smoke" else variant
    config.name = f"segmentation-{method}"
    config.adapter = METHODS[method]
    config.transfer.update(recognizer="mask-rcnn", distortion=1.0, rate=2.0)
    config.data.update(crop=256, batch_size=8)
    config.optim.update(
        learning_rate=1e-4, total_steps=587_000, clip_norm=float("inf")
    )  # 40 times 117,465 photos
    config.checkpoint.every_steps = 2500
    config.log.every_steps = 100
    if variant == "smoke":
        config.transfer.update(recognizer="mobilenet-v2", weights="random")
        config.data.update(folder=str(SAMPLE_FOLDER), crop=64, batch_size=8, threads=1)
        config.optim.total_steps = 2
        config.checkpoint.every_steps = 2
        config.log.every_steps = 1
    return config
