"""tic-lite: TIC's layout with residual bottlenecks, six rates trained as one family; the codec that is included.

    python -m icm_jax.main --config=configs/tic_lite.py --config.data.folder=PHOTOS --workdir=runs/tic_lite

Then the same family with more channels at H/8, from where the first run ended:

    python -m icm_jax.main --config=configs/tic_lite.py:wide --config.init_from=runs/tic_lite \
        --config.data.folder=PHOTOS --workdir=runs/tic_lite_wide

The upper two rates need more channels of y, which first learn at a weight that hardly counts bits:

    python -m icm_jax.main --config=configs/tic_lite.py:upper --config.init_from=runs/tic_lite_wide/codecs \
        --config.rate.lmbda='(0.3,0.3)' --config.optim.total_steps=1600 --config.data.folder=PHOTOS --workdir=runs/awake
    python -m icm_jax.main --config=configs/tic_lite.py:upper --config.init_from=runs/awake \
        --config.data.folder=PHOTOS --workdir=runs/tic_lite_upper

Expected (docs/models.md, where four more runs of these rates are), on Kodak, real bytes: 0.27 bpp at 29.15 dB after the
second run, 0.63 bpp at 32.20 dB and 0.87 bpp at 33.56 dB after the fourth, if it stops at step 5,500.
`configs/tic_lite.py:smoke` trains a few steps on small crops.
"""

import ml_collections

from configs.smoke import few_steps
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.train.config import one_of
from icm_jax.train.registry import default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The recipe; "wide" and "upper" train it on with more channels, "smoke" shortens the family to seconds."""
    one_of("variant of tic_lite.py", variant, ("", "wide", "upper", "smoke"))
    config = default_config("base_codec")
    config.name = "tic-lite"
    config.model = {
        "name": "tic",
        "N": 64,
        "M": 96,
        "widths": (32, 64, 64),
        "depths": (1, 2, 3, 1),
        "hyper_depths": (1, 1),
        "block": "bottleneck",
        "latent_gain": 8.0,
        "init": "lecun",
    }
    config.rate.lmbda = (0.0009, 0.0018, 0.0035, 0.0067, 0.013, 0.025)
    config.data.update(crop=128, batch_size=4, threads=1)
    config.optim.update(
        optimizer="muon",
        learning_rate=2e-3,
        total_steps=60_000,
        warmup_steps=300,
        schedule="cosine",
        decay_start=0.4,  # constant until there
        ema_decay=0.999,
    )
    config.checkpoint.every_steps = 2000
    config.log.every_steps = 200
    if variant == "wide":
        config.model.update(widths=(32, 64, 96))
        config.rate.update(
            lmbda=(0.0009, 0.0018, 0.0035, 0.007, 0.015, 0.035),
            order=(0, 3, 4, 5, 1, 3, 4, 5, 2, 3, 4, 5),  # what more channels are for: the upper rates
            decoder="rounded",
        )
        config.optim.update(learning_rate=1.5e-3, total_steps=40_000)
    if variant == "upper":
        config.model.update(M=192, widths=(32, 64, 96))
        config.rate.update(lmbda=(0.015, 0.035), first_quality=5)
        config.optim.update(learning_rate=1.5e-3, total_steps=20_000)
    if variant == "smoke":
        config.rate.lmbda = (0.0018, 0.0067)
        config.model.update(N=16, M=16, widths=(16, 16, 16), depths=(1, 1, 1, 1))
        config.data.update(folder=str(SAMPLE_FOLDER), crop=64, batch_size=8)
        few_steps(config, 4)
    return config
