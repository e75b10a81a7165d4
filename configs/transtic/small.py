"""TransTIC and its rivals on the small Swin base, short enough for a CPU: real networks, no labels, minutes a run.

    ICM_WEIGHTS=WEIGHTS python -m icm_jax.main --config=configs/transtic/small.py:classification-prompts \
        --config.transfer.base=runs/base_family/codecs/q2 --config.data.folder=PHOTOS --workdir=runs/transtic/prompts-2

The variant is TASK-METHOD: classification (MobileNetV2), segmentation (ESPNetv2) or saliency (U²-Netp), and prompts,
sfma, sft, channel_selection (classification only), roi or full; `:smoke` is two steps without weights.
All rates of a method, one after the other:

    python -m launch.sweep --config=configs/transtic/small.py:classification-prompts --root=runs/transtic/prompts \
        --grid transfer.base=runs/base_family/codecs/q1,runs/base_family/codecs/q2,runs/base_family/codecs/q3 \
        -- --config.data.folder=PHOTOS

Loss: weight · lmbda · d + bpp with the lmbda of the base, as published for classification; the weight is a task's own,
since distances of networks have no common scale. Weights were chosen so that a task's pictures cost about what the
base's do, 0.1 to 0.6 bpp: they are the slope of rate over distance of AVIF's pictures there.

Expected: rate and accuracy of all methods in `docs/results/transtic.md`.
"""

import ml_collections

from configs.transtic.methods import METHODS, shortened
from icm_jax.errors import IcmError
from icm_jax.train.registry import default_config

# Network, weight of its distance over lmbda, batch size.
TASKS = {
    "classification": ("mobilenet-v2", 300.0, 4),
    "segmentation": ("espnet-v2", 4500.0, 4),
    "saliency": ("u2netp", 550.0, 2),
}
# Every stream carries the name, and the files are small.
NAMES = {"classification": "cls", "segmentation": "seg", "saliency": "sal"}
SFT = {
    "encoder_widths": (32, 32, 48, 48),
    "hyper_widths": (48, 48),
    "decoder_widths": (64, 32, 32, 32),
    "hidden": 32,
}
# Widths for a base of 32 to 96 channels, where the published ones fit 128 to 192.
SIZES = {
    "prompts": {"extractor_width": 8},
    "sfma": {"middle": 16, "zero_init": True},
    "sft": SFT,
    "channel_selection": {"widths": (96, 64), "features": 24, "tap": "features.3", "signed": True},
    "roi": SFT,
    "full": {},
}


def get_config(variant: str = "classification-prompts") -> ml_collections.ConfigDict:
    """The short recipe of a task and method."""
    smoke = variant == "smoke"
    task, _, method = ("classification-sfma" if smoke else variant).partition("-")
    if task not in TASKS or method not in METHODS:
        raise IcmError(
            f"variant {variant!r} is not smoke, nor TASK-METHOD with a task of {', '.join(TASKS)} "
            f"and a method of {', '.join(METHODS)}"
        )
    network, weight, batch_size = TASKS[task]
    config = default_config("transfer")
    config.name = NAMES[task]
    config.adapter = {**METHODS[method], **SIZES[method]}
    config.transfer.update(base="tic-base", quality=2, recognizer=network, distortion=weight, by_lmbda=True)
    config.transfer.update(drop_path=False, decoder="rounded")
    config.data.update(crop=128, batch_size=batch_size, threads=1)
    whole = method == "full"
    config.optim.update(
        optimizer="muon" if whole else "adam",
        learning_rate=3e-4 if whole else 1e-3,
        total_steps=400,
        warmup_steps=20,
        schedule="cosine",
        decay_start=0.3,
        ema_decay=0.98,
    )
    config.checkpoint.every_steps = 200
    config.log.every_steps = 10
    return shortened(config, "smoke" if smoke else method)
