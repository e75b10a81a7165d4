"""One decoder of several tasks of rendered scenes behind their trained codecs (DoRA-ICM, supplement 1.6).

The codecs are those of `configs/dora_icm/scenes.py`, trained on one backbone:

    python -m icm_jax.main --config=configs/dora_icm/joint.py --workdir=runs/joint \
        --config.joint.backbone=backbone.safetensors --config.joint.tasks="('semseg','depth')" \
        --config.joint.codecs="('runs/semseg/codecs/q1','runs/depth/codecs/q1')"

For NYUD-v2 or PASCAL-Context set the section `data` to that of `configs/dora_icm/nyud.py` or `pascal.py`, and
decoder.widths=(576,288,144). `:small` goes with the codecs of `scenes.py:small`; `:smoke` takes two steps behind
codecs of random weights.

Expected: losses of all tasks that fall together; the rates are those of the codecs. Nobody has run this length here.
"""

import ml_collections

from configs.smoke import few_steps
from icm_jax.train.config import one_of
from icm_jax.train.registry import default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """A decoder as wide as those of one task."""
    one_of("variant of joint.py", variant, ("", "small", "smoke"))
    config = default_config("joint_decoder")
    config.name = "scenes-joint"
    config.decoder.widths = (64, 48, 32)
    config.data = {"name": "scenes", "count": 2000, "size": 128, "seed": 1, "batch_size": 8, "folder": ""}
    config.optim.update(
        learning_rate=5e-4, total_steps=20_000, warmup_steps=500, schedule="cosine", ema_decay=0.999
    )
    config.checkpoint.every_steps = 1000
    config.log.every_steps = 50
    if variant == "small":
        config.decoder.update(widths=(48, 32, 16), blocks=1)
        config.optim.update(learning_rate=1e-3, total_steps=2000, warmup_steps=100, ema_decay=0.99)
    if variant == "smoke":
        config.joint.update(tasks=("normals", "depth"), backbone="random")
        config.decoder.update(widths=(16, 8), blocks=1)
        config.data.update(count=4, size=64, batch_size=2)
        few_steps(config)
    return config
