"""Steering a codec to instance segmentation, as TransTIC does it (Kao et al., ICCV 2023, section 4).

    python -m icm_jax.main --config=configs/transtic/segmentation.py:prompts \
        --config.transfer.base=runs/base/codecs/q1 --config.data.folder=PHOTOS --workdir=runs/transtic

`:prompts` (TransTIC), `:sfma` (AdaptICMH), `:sft`, `:channel_selection`, `:roi`, `:full` (the whole codec).
`:smoke` runs two steps of SFMA on the included codec and photos against a small network of random weights.

Loss: d + w · bpp with w = 2, 1, 0.5, 0.2 from the lowest rate up, d over p2 to p6 of Mask R-CNN.

Expected, as printed in the paper's Table 1 against the untuned codec: prompts -45.83 % BD-rate, +2.66 mAP;
SFT -26.47 %, +1.40; full +3.86 mAP. Not yet reproduced here at the published length.
"""

import ml_collections

from configs.transtic.methods import shortened, steered


def get_config(variant: str = "prompts") -> ml_collections.ConfigDict:
    """The published recipe of a method."""
    config = steered("segmentation", variant)
    config.transfer.update(recognizer="mask-rcnn", distortion=1.0, rate=2.0)
    config.data.update(batch_size=8, cut="mirror")
    config.optim.total_steps = 587_000  # 40 times 117,465 photos
    return shortened(config, variant)
