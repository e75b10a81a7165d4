"""What the recipes of nyud.py and pascal.py have in common: DoRA-ICM's (Zhang et al., supplement, Table 1)."""

import ml_collections

from icm_jax.tasks.dense import dense_task
from icm_jax.train.registry import default_config


def published(dataset: str, task: str, grid: tuple[int, int]) -> ml_collections.ConfigDict:
    """EVA-02-L with DoRA of rank 8 on q, k, v; Adam 2e-5 with coupled weight decay, polynomial, 160k steps of 2."""
    config = default_config("dense_prediction")
    config.name = f"{dataset}-{task}"
    config.model = {
        "outputs": dense_task(dataset, task).outputs,
        "grid": grid,
        "rank": 8,
        "magnitude": True,
        "compress": True,
    }
    config.dense.task = task
    config.data = {
        "name": "built",
        "set": "",
        "recipe": f"invpt-{dataset}",
        "batch_size": 2,
        "threads": 4,
        "held_out_count": 32,
        "data_dir": "",
    }
    config.optim.update(learning_rate=2e-5, total_steps=160_000, schedule="polynomial", power=0.9)
    config.optim.update(weight_decay=1e-6, clip_norm=1e9)  # the paper clips nothing
    config.checkpoint.every_steps = 4000
    config.log.every_steps = 100
    return config


def smoke(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Two steps of a tiny model on rendered scenes: the same recipe without the data."""
    config.model.update(outputs=dense_task("scenes", config.dense.task).outputs, grid=(4, 4), rank=2)
    config.model.update(width=16, depth=1, heads=2, preliminary=(6,), N=4)
    config.model.update(decoder_widths=(16, 8), decoder_blocks=1)
    config.data = {"name": "scenes", "count": 8, "size": 64, "seed": 1, "batch_size": 2, "folder": ""}
    config.optim.total_steps = config.checkpoint.every_steps = 2
    config.log.every_steps = 1
    return config
