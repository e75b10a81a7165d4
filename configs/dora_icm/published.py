"""What the recipes of nyud.py and pascal.py have in common: DoRA-ICM's (Zhang et al., supplement, Table 1)."""

import ml_collections

from configs.dora_icm.methods import change
from configs.smoke import few_steps
from icm_jax.adapters.low_rank import QKV
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.decoder import WIDTHS
from icm_jax.tasks.dense import dense_task
from icm_jax.train.registry import default_config

# Rows and columns of patches, by data set and side of a patch.
GRIDS = {("nyud", 16): (28, 36), ("nyud", 14): (32, 40), ("pascal", 16): (32, 32), ("pascal", 14): (36, 36)}
SETS = {"nyud": "nyud_mt/invpt", "pascal": "pascal_mt"}
DROP_PATH = 0.15  # InvPT's, where a large backbone is trained whole


def published(dataset: str, variant: str) -> ml_collections.ConfigDict:
    """EVA-02-L with DoRA of rank 8 on q, k, v; Adam 2e-5 with coupled weight decay, polynomial, 160k steps of 2.

    Args:
        variant: TASK, TASK,METHOD or TASK,METHOD,lean; "smoke" in the place of a task is two steps of semantic
            segmentation.
    """
    task, method, way = [*variant.split(","), "", ""][:3]
    method = method or "dora"
    if task == "smoke":
        return smoke(published(dataset, f"semseg,{method},{way}"))
    config = default_config("dense_prediction")
    config.name = f"{dataset}-{task}"
    config.model = {
        "outputs": dense_task(dataset, task).outputs,
        "patch": 16,
        "grid": (0, 0),
        "tap": "last",
        "rank": 8,
        "alpha": 8.0,
        "magnitude": True,
        "targets": QKV,
        "compress": True,
        "decoder_widths": WIDTHS,
    }
    config.dense.task = task
    config.data = {
        "name": "built",
        "set": SETS[dataset],
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
    change(config, method)
    config.model.grid = GRIDS[dataset, config.model.patch]
    if config.model.patch == 14:
        config.data.recipe += "-14"
    if config.trainable:
        config.dense.drop_path = DROP_PATH
    if way not in ("", "lean"):
        raise IcmError(f"{variant!r}: there is no way {way!r} to compute; take 'lean', or leave it out")
    if way:
        lean(config)
    return config


def lean(config: ml_collections.ConfigDict) -> None:
    """Less memory than published: products of the backbone in bfloat16, and what blocks compute is computed again
    for the gradient, the backbone's in a loop.
    """
    config.compute.dtypes = ((r"model/backbone/blocks_\d+/.*/kernel", "bfloat16"),)
    config.compute.remat = (r"decoder/(stage\d+/block|head)\d+",)
    config.dense.scan = True


def smoke(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Two steps of a tiny model on rendered scenes: the same recipe without the data."""
    config.model.update(outputs=dense_task("scenes", config.dense.task).outputs, grid=(4, 4))
    config.model.update(width=16, depth=4 if config.model.tap == "concat4" else 1, heads=2, preliminary=(6,))
    config.model.update(
        N=4, decoder_widths=(16, 8, 8)[: len(config.model.decoder_widths) - 1], decoder_blocks=1
    )
    config.model.rank = min(config.model.rank, 2)
    size = 4 * config.model.patch
    config.data = {"name": "scenes", "count": 8, "size": size, "seed": 1, "batch_size": 2, "folder": ""}
    return few_steps(config)
