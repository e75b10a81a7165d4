"""MTLoRA on rendered scenes: four dense tasks from one Swin, small enough for a processor.

Without published weights of a Swin, first a backbone, trained whole with the heads:

    python -m icm_jax.main --config=configs/mtlora/scenes.py:backbone --workdir=runs/swin

Then MTLoRA on it, by its recipe (AdamW 5e-4, weight decay 0.05, warm-up of 20 of 300 epochs, cosine to 5e-6):

    python -m icm_jax.main --config=configs/mtlora/scenes.py --workdir=runs/mtlora \
        --config.multi_task.backbone=runs/swin/codecs/backbone.safetensors

`runs/mtlora/codecs/mtlora.safetensors` is the network: load_recognizer("mtlora", FILE). `:smoke` takes two steps.
Expected: a network whose four losses fall together; nobody has run this length here. `:small` is a fifth of that
network, trained whole in one run of 1,500 steps of 8 scenes: what docs/results/all_in_one.md has.
"""

import ml_collections

from configs.smoke import few_steps
from icm_jax.train.config import one_of
from icm_jax.train.registry import default_config


def get_config(variant: str = "mtlora") -> ml_collections.ConfigDict:
    """A network of 128×128 pictures: Swin-T's depths at half its width."""
    one_of("variant of mtlora/scenes.py", variant, ("mtlora", "backbone", "small", "smoke"))
    config = default_config("multi_task")
    config.name = f"scenes-{variant}"
    config.model = {
        "tasks": ("semseg", "depth", "normals", "edge"),
        "swin": {"width": 48, "depths": (2, 2, 6, 2), "heads": (3, 6, 12, 24), "windows": (7, 7, 7, 7)},
        "shared_rank": 32,
        "task_ranks": (4, 4, 4, 4),
        "channels": (9, 18, 36, 72),
        "hidden": 540,
    }
    config.data = {"name": "scenes", "count": 2000, "size": 128, "seed": 1, "batch_size": 32, "folder": ""}
    config.optim.update(
        optimizer="adamw", learning_rate=5e-4, weight_decay=0.05, clip_norm=5.0, schedule="cosine"
    )
    config.optim.decay = ((".*/(bias|scale|relative_position_bias)", 0.0),)
    config.optim.update(total_steps=18_750, warmup_steps=1250, final_fraction=0.01)
    config.checkpoint.every_steps = 500
    if variant == "backbone":
        config.trainable = (r"model/(backbone|head_\w+)/.*",)
    if variant == "small":
        config.trainable = ("model/.*",)
        config.model.swin.update(width=24, depths=(2, 2, 2, 2), heads=(1, 2, 4, 8), drop_path=0.0)
        config.model.update(hidden=128, shared_rank=8)
        config.data.batch_size = 8
        config.optim.update(learning_rate=1e-3, total_steps=1500, warmup_steps=100)
    if variant == "smoke":
        # Without random numbers, which are half of the time that its program takes to compile.
        small = {
            "width": 8,
            "depths": (1, 1),
            "heads": (1, 2),
            "windows": (3, 3),
            "mlp_ratio": 2,
            "drop_path": 0.0,
        }
        config.model.update(swin=small, channels=(4, 8), hidden=16, shared_rank=4)
        config.model.update(tasks=("semseg", "normals"), task_ranks=(2, 2), dropout=0.0)
        config.data.update(count=4, size=32, batch_size=2)
        few_steps(config)
    return config
