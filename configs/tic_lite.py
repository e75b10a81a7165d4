"""tic-lite: TIC's layout with residual bottlenecks, six rates trained as one family; the codec that is included.

    python -m icm_jax.main --config=configs/tic_lite.py --config.data.folder=PHOTOS --workdir=runs/tic_lite

Then each of the upper rates alone, from its member of the family:

    python -m icm_jax.main --config=configs/tic_lite.py:finish --config.init_from=runs/tic_lite/codecs/q6 \
        --config.rate.lmbda='(0.025,)' --config.rate.first_quality=6 --config.data.folder=PHOTOS --workdir=runs/q6

`configs/tic_lite.py:smoke` trains a few steps on small crops.
"""

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The recipe; "finish" trains one rate on alone, "smoke" shortens the family to seconds."""
    config = ml_collections.ConfigDict()
    config.name = "tic-lite"
    config.seed = 42
    config.init_from = ""  # workdir of another run or a codec folder of this model, to start from its weights
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
    config.rate = {"lmbda": (0.0009, 0.0018, 0.0035, 0.0067, 0.013, 0.025), "first_quality": 1}
    config.data = {"folder": "", "crop": 128, "batch_size": 4, "threads": 1}
    config.optim = {
        "optimizer": "muon",
        "learning_rate": 2e-3,
        "total_steps": 60_000,
        "warmup_steps": 300,
        "schedule": "cosine",
        "decay_start": 0.4,  # constant until there
        "final_fraction": 0.02,
        "clip_norm": 1.0,
        "aux_learning_rate": 1e-3,
        "ema_decay": 0.999,
    }
    config.checkpoint = {"every_steps": 2000, "keep": 2}
    config.log = {"every_steps": 200}
    config.eval = {"folder": "", "limit": 0}
    if variant == "finish":
        config.rate = {"lmbda": (0.0067,), "first_quality": 4}
        config.data.update(crop=192, batch_size=2)  # z sees 3×3 positions instead of 2×2
        config.optim.update(learning_rate=7e-4, total_steps=10_000, warmup_steps=100, decay_start=0.2)
    if variant == "smoke":
        config.rate.lmbda = (0.0018, 0.0067)
        config.model.update(N=16, M=16, widths=(16, 16, 16), depths=(1, 1, 1, 1))
        config.data.crop = 64
        config.optim.total_steps = 4
        config.checkpoint.every_steps = 2
        config.log.every_steps = 1
    return config
