"""A pre-processor before VVC, for a network that was trained without a codec: a baseline of DoRA-ICM.

    python -m icm_jax.main --config=configs/dora_icm/preprocessor.py --workdir=runs/preprocessor \
        --config.judge.network=runs/full-baseline/codecs/network.safetensors

    icm eval scenes/images --codecs 'vvc+runs/preprocessor/codecs/preprocessor.safetensors:27,32,37,42' \
        --task semseg-scenes --recognizer runs/full-baseline/codecs/network.safetensors \
        --labels scenes/semseg -o results

For NYUD-v2 or PASCAL-Context set the section `data` to that of `configs/dora_icm/nyud.py` or `pascal.py`. `:small`
goes with the networks of `scenes.py:small`; `:smoke` takes two steps before a network of random weights.

Expected: fewer bits of the stand-in at the same loss of the task. Nobody has run this length here.
"""

import ml_collections

from configs.smoke import few_steps
from icm_jax.train.config import one_of
from icm_jax.train.registry import default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """56 M parameters on rendered scenes."""
    one_of("variant of preprocessor.py", variant, ("", "small", "smoke"))
    config = default_config("preprocessor")
    config.name = "scenes-preprocessor"
    config.data = {"name": "scenes", "count": 2000, "size": 128, "seed": 1, "batch_size": 8, "folder": ""}
    config.optim.update(learning_rate=1e-4, total_steps=20_000, warmup_steps=500, schedule="cosine")
    config.checkpoint.every_steps = 1000
    config.log.every_steps = 50
    if variant == "small":
        config.preprocessor.update(widths=(16, 32, 64), blocks=1)
        config.optim.update(learning_rate=1e-3, total_steps=2000, warmup_steps=100)
    if variant == "smoke":
        config.judge.network = "random"
        config.preprocessor.update(widths=(4, 6), blocks=1)
        config.data.update(count=4, size=64, batch_size=2)
        few_steps(config)
    return config
