"""TIC, the Swin codec of TransTIC, trained for people as published (Kao et al., ICCV 2023, section 4).

    python -m icm_jax.main --config=configs/base_tic.py --config.data.folder=FLICKR2W --workdir=runs/base_tic

Published ladder: lmbda = 0.0018, 0.0035, 0.0067, 0.013, one run each:
    … --config.rate.lmbda='(0.0035,)' --workdir=runs/base_tic_0035

`configs/base_tic.py:small` is a TIC that two CPU cores can train; `configs/base_tic.py:smoke` runs a few steps.
"""

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published recipe; "small" and "smoke" shorten it."""
    config = ml_collections.ConfigDict()
    config.name = "tic-base"
    config.seed = 42
    config.init_from = ""  # workdir of another run or a codec folder of this model, to start from its weights
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
    config.rate = {"lmbda": (0.0067,), "first_quality": 1}
    config.data = {"folder": "", "crop": 256, "batch_size": 12, "threads": 2}
    config.optim = {
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "total_steps": 690_000,  # 400 epochs of 20,745 photos
        "warmup_steps": 0,
        "schedule": "milestones",
        "milestones": (0.5, 0.75),
        "decay_start": 0.0,
        "final_fraction": 0.02,
        "clip_norm": 1.0,
        "aux_learning_rate": 1e-3,
        "ema_decay": 0.0,
    }
    config.checkpoint = {"every_steps": 2000, "keep": 2}
    config.log = {"every_steps": 100}
    config.eval = {"folder": "", "limit": 0}
    if variant == "small":
        config.model.update(
            N=64,
            M=96,
            widths=(32, 64, 64),
            depths=(2, 2, 2, 2),
            hyper_depths=(1, 1),
            latent_gain=8.0,
            init="lecun",
            heads=(2, 4, 4, 6),
            hyper_heads=(4, 4),
        )
        config.data.update(crop=128, batch_size=4, threads=1)
        config.optim.update(
            optimizer="muon",
            learning_rate=1e-3,
            total_steps=40_000,
            warmup_steps=300,
            schedule="cosine",
            decay_start=0.5,
            ema_decay=0.999,
        )
    elif variant == "smoke":
        config.model.update(
            N=16, M=16, depths=(1, 1, 1, 2), hyper_depths=(1, 1), heads=(2, 2, 2, 2), hyper_heads=(2, 2)
        )
        config.data.update(crop=64, batch_size=2, threads=1)
        config.optim.total_steps = 4
        config.checkpoint.every_steps = 2
        config.log.every_steps = 1
    return config
