"""MTLoRA by its recipe on a data set: Swin-T at 512×512, updates of rank 64 for all tasks and of rank 4 for each."""

from collections.abc import Sequence

import ml_collections

from configs.smoke import few_steps
from icm_jax.train.registry import default_config

EPOCHS, WARM_UP, BATCH = 300, 20, 32


def published(dataset: str, tasks: Sequence[str], photos: int) -> ml_collections.ConfigDict:
    """AdamW 5e-4 with weight decay 0.05, a warm-up of 20 of 300 epochs, cosine to 5e-6, norms clipped to 5."""
    config = default_config("multi_task")
    config.name = f"mtlora-{dataset}"
    config.model = {"tasks": tuple(tasks), "task_ranks": (4,) * len(tasks)}
    config.data = {
        "name": "built",
        "set": f"{dataset}_mt",
        "recipe": f"astmt-{dataset}",
        "batch_size": BATCH,
        "threads": 4,
        "held_out_count": 64,
        "data_dir": "",
    }
    steps = photos // BATCH
    config.optim.update(
        optimizer="adamw", learning_rate=5e-4, weight_decay=0.05, clip_norm=5.0, schedule="cosine"
    )
    config.optim.decay = ((".*/(bias|scale|relative_position_bias)", 0.0),)
    config.optim.update(total_steps=EPOCHS * steps, warmup_steps=WARM_UP * steps, final_fraction=0.01)
    config.checkpoint.every_steps = 1000
    return config


def smoke(config: ml_collections.ConfigDict, tasks: Sequence[str]) -> ml_collections.ConfigDict:
    """Two steps of a small network on rendered scenes."""
    swin = {"width": 8, "depths": (1,), "heads": (1,), "windows": (3,), "mlp_ratio": 2, "drop_path": 0.0}
    config.model.update(tasks=tuple(tasks), task_ranks=(2,) * len(tasks), swin=swin)
    config.model.update(channels=(4,), hidden=16, shared_rank=4, dropout=0.0)
    config.data = {"name": "scenes", "count": 4, "size": 32, "seed": 1, "batch_size": 2, "folder": ""}
    return few_steps(config)
