"""Steering a codec to classification, as TransTIC does it (Kao et al., ICCV 2023, section 4).

    python -m icm_jax.main --config=configs/transtic/classification.py:prompts \
        --config.transfer.base=runs/base/codecs/q1 --config.data.folder=PHOTOS --workdir=runs/transtic

`:prompts` (TransTIC), `:sfma` (AdaptICMH), `:sft`, `:channel_selection`, `:roi`, `:full` (the whole codec).
`:smoke` runs two steps of SFMA on the included codec and photos against a small network of random weights.

Loss: 1000 · w · d + bpp with w = lmbda of the base (0.0018 at the lowest rate), d over layers 1 to 4 of ResNet-50.

Expected, as printed in the paper's Table 1 against the untuned codec: prompts -58.77 % BD-rate, +10.02 points of top-1;
SFT -62.10 %, +11.07; full +16.24 points. Not yet reproduced here at the published length.
"""

import ml_collections

from configs.transtic.methods import shortened, steered


def get_config(variant: str = "prompts") -> ml_collections.ConfigDict:
    """The published recipe of a method."""
    config = steered("classification", variant)
    config.transfer.update(recognizer="resnet50", distortion=1000.0, by_lmbda=True)
    config.data.update(batch_size=16, cut="centre")
    config.optim.update(
        total_steps=1_000_000, schedule="milestones", milestones=(0.075, 0.15)
    )  # 400 · 40,000 photos
    return shortened(config, variant)
