"""TIC, the Swin codec of TransTIC, trained for people as published (Kao et al., ICCV 2023, section 4).

    python -m icm_jax.main --config=configs/base_tic.py --config.data.folder=FLICKR2W --workdir=runs/base_tic

Published ladder: lmbda = 0.0018, 0.0035, 0.0067, 0.013, one run each:
    … --config.rate.lmbda='(0.0035,)' --workdir=runs/base_tic_0035

Expected: the paper's untuned TIC; the published length has not been run here.

`:small` is a TIC that one CPU core trains in about an hour, from the convolutions of tic-lite at the same lmbda, and
`:family` makes four rates of it in another hour: the included `tic-base`. Expected: 0.257 bpp at 28.9 dB on Kodak after
the first, 0.269 bpp at 29.2 dB after the second, real bytes (docs/models.md).

    python -m icm_jax.main --config=configs/base_tic.py:small --config.init_from=icm_jax/pretrained/tic-lite/q3 \
        --config.data.folder=PHOTOS --workdir=runs/base_small
    python -m icm_jax.main --config=configs/base_tic.py:family --config.init_from=runs/base_small/codecs/q2 \
        --config.data.folder=PHOTOS --workdir=runs/base_family

Other variants: `:gpu` computes the transforms in bfloat16 (state, norms
and the entropy path stay float32); `:smoke` runs a few steps on the included photos, in seconds.
"""

import ml_collections

from configs.smoke import few_steps
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.train.config import one_of
from icm_jax.train.registry import default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published recipe; "small", "family" and "smoke" shorten it, "gpu" computes in bfloat16."""
    one_of("variant of base_tic.py", variant, ("", "small", "family", "gpu", "smoke"))
    config = default_config("base_codec")
    config.name = "tic-base"
    config.model = {
        "name": "tic",
        "N": 128,
        "M": 192,
        "widths": (),  # channels at H/2, H/4, H/8; empty: N
        "depths": (2, 4, 6, 2),
        "hyper_depths": (2, 2),
        "heads": (8, 8, 8, 16),
        "hyper_heads": (16, 16),
        "latent_gain": 1.0,
        "init": "uniform",
    }
    config.rate.lmbda = (0.0067,)
    config.data.update(crop=256, batch_size=12)
    config.optim.update(
        learning_rate=1e-4,
        total_steps=690_000,  # 400 epochs of 20,745 photos
        schedule="milestones",
        milestones=(0.5, 0.75),
    )
    config.checkpoint.every_steps = 2000
    config.log.every_steps = 100
    if variant in ("small", "family"):
        config.model.update(
            N=64,
            M=96,
            widths=(32, 64, 96),
            depths=(2, 2, 2, 2),
            hyper_depths=(1, 1),
            latent_gain=8.0,
            init="lecun",
            heads=(1, 2, 3, 3),
            drop_path=0.0,
            hyper_heads=(2, 2),
        )
        config.rate.update(lmbda=(0.0035,), first_quality=2, decoder="rounded")
        config.data.update(crop=128, batch_size=4, threads=1)
        config.optim.update(
            optimizer="muon",
            learning_rate=1e-3,
            total_steps=6500,
            warmup_steps=100,
            schedule="cosine",
            decay_start=0.5,
            ema_decay=0.999,
        )
    if variant == "family":
        order = (0, 2, 3, 0, 2, 3, 1)  # the second rate is what the run starts from
        config.rate.update(lmbda=(0.0018, 0.0035, 0.007, 0.015), first_quality=1, order=order)
        # Slow where kernels are shared, faster where a rate has to find its own way.
        config.optim.update(learning_rate=4e-4, total_steps=3000, decay_start=0.4)
        config.optim.rates = (("gains/.*", 3.0), ("own/.*", 2.0))
    elif variant == "gpu":
        config.compute.dtypes = (("g_[as]/.*kernel", "bfloat16"),)
        config.data.threads = 16
    elif variant == "smoke":
        config.model.update(
            N=16, M=16, depths=(1, 1, 1, 1), hyper_depths=(1, 1), heads=(2, 2, 2, 2), hyper_heads=(2, 2)
        )
        config.data.update(folder=str(SAMPLE_FOLDER), crop=64, batch_size=8, threads=1)
        few_steps(config, 4)
    return config
