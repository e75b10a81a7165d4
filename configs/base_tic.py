"""TIC, the Swin codec of TransTIC, trained for people as published (Kao et al., ICCV 2023, section 4).

    python -m icm_jax.main --config=configs/base_tic.py --config.data.folder=FLICKR2W --workdir=runs/base_tic

Published ladder: lmbda = 0.0018, 0.0035, 0.0067, 0.013, one run each:
    … --config.rate.lmbda='(0.0035,)' --workdir=runs/base_tic_0035

Variants: `:small` is a TIC that two CPU cores can train; `:gpu` computes the transforms in bfloat16 (state, norms
and the entropy path stay float32); `:smoke` runs a few steps on the included photos, in seconds.
"""

import ml_collections

from icm_jax.data.samples import SAMPLE_FOLDER


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The published recipe; "small" and "smoke" shorten it, "gpu" computes in bfloat16."""
    config = ml_collections.ConfigDict()
    config.name = "tic-base"
    config.task = "base_codec"
    config.seed = 42
    config.trainable = (".*",)
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
    config.rate = {"lmbda": (0.0067,), "first_quality": 1, "order": (), "decoder": "noise"}
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
        "accumulate": 1,
        "skip_not_finite": 0,
    }
    config.mesh = {"fsdp": 1, "rules": (), "min_size": 4096}
    config.compute = {"dtypes": (), "remat": (), "matmul": ""}
    config.checkpoint = {"every_steps": 2000, "keep": 2, "best": "", "best_mode": "min"}
    config.log = {"every_steps": 100, "validate_steps": 0, "profile": ()}
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
    elif variant == "gpu":
        config.compute.dtypes = (("g_[as]/.*kernel", "bfloat16"),)
        config.data.threads = 16
    elif variant == "smoke":
        config.model.update(
            N=16, M=16, depths=(1, 1, 1, 2), hyper_depths=(1, 1), heads=(2, 2, 2, 2), hyper_heads=(2, 2)
        )
        config.data.update(folder=str(SAMPLE_FOLDER), crop=64, batch_size=8, threads=1)
        config.optim.total_steps = 4
        config.checkpoint.every_steps = 2
        config.log.every_steps = 1
    return config
