"""What the recipes of this folder have in common (Zhao et al., section 4), and the variants that each of them has.

`METHOD`, or `METHOD-TASK+TASK` for some of the tasks: `aio-semseg+sal`, `sfma-semseg`.

    aio                All-in-One
    no-tam, no-msf     without the aggregation of tasks, without the fusion of scales
    sfma, transtic     AdaptICMH and TransTIC: one picture; with one task the single-task baselines
    full               the codec itself, nothing frozen but its prior's quantiles
    guest              tasks that a trained All-in-One adapter gets in addition: all_in_one.extends names its file
"""

from collections.abc import Sequence

import ml_collections

from configs.smoke import few_steps
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.errors import IcmError
from icm_jax.train.registry import default_config

ADAPTERS = {
    "aio": {"name": "all-in-one"},
    "no-tam": {"name": "all-in-one", "phi": "none"},
    "no-msf": {"name": "all-in-one", "msf_axis": "none"},
    "sfma": {"name": "sfma"},
    "transtic": {"name": "transtic"},
    "full": {},
    "guest": {},  # the adapter that is extended says all
}
EPOCHS = 10
# Computed again for the gradient: layers of the base's stacks, adaptors and fusion, blocks of MTLoRA.
REMAT = (
    "g_[as]/stb.*/layer.*",
    r"adapter/g_[as]/(stb\d|deconv\d|adaptors_\w+|msf_\w+)",
    r"layer\d+_block\d+",
)


def published(name: str, variant: str, all_tasks: Sequence[str], photos: int) -> ml_collections.ConfigDict:
    """The recipe for a variant: Adam 1e-4, a tenth of it after epochs 2, 4 and 8 of 10, batches of 4.

    Args:
        all_tasks: those of a variant that names none.
        photos: of the training set, which an epoch is counted by.
    """
    method = next((known for known in ADAPTERS if variant == known or variant.startswith(f"{known}-")), None)
    if method is None:
        raise IcmError(
            f"variant {variant!r} is unknown; write METHOD or METHOD-TASK+TASK with one of {', '.join(ADAPTERS)}"
        )
    named = variant.removeprefix(method).removeprefix("-")
    tasks = tuple(named.split("+")) if named else tuple(all_tasks)
    config = default_config("all_in_one")
    some = f"-{tasks[0] if len(tasks) == 1 else f'{len(tasks)}tasks'}" if named else ""
    config.name = f"{name}-{method}{some}"  # streams carry it, so it is short
    config.all_in_one.tasks = tasks
    adapter = ADAPTERS[method]
    config.adapter = {**adapter, "tasks": tasks} if adapter.get("name") == "all-in-one" else adapter
    config.all_in_one.extends = "aio.safetensors" if method == "guest" else ""
    config.optim.update(learning_rate=1e-4, total_steps=EPOCHS * photos // 4)
    config.optim.update(schedule="milestones", milestones=(0.2, 0.4, 0.8), milestone_factor=0.1)
    config.compute.remat = REMAT
    config.checkpoint.every_steps = 500
    config.log.every_steps = 50
    return config


def labelled(config: ml_collections.ConfigDict, dataset: str) -> ml_collections.ConfigDict:
    """Batches and the downstream network of a built data set: 512×512, augmented as MTLoRA is trained."""
    config.downstream = {"name": "mtlora", "weights": "", "model": {}}
    config.data = {
        "name": "built",
        "set": f"{dataset}_mt",
        "recipe": f"astmt-{dataset}",
        "batch_size": 4,
        "threads": 4,
        "held_out_count": 32,
        "data_dir": "",
    }
    return config


def photos(
    config: ml_collections.ConfigDict, crop: int, weights: tuple[str, ...] = ()
) -> ml_collections.ConfigDict:
    """Crops of photos without labels; each task's published network is its teacher."""
    config.downstream = {"name": "teachers", "weights": weights}
    config.data = {"name": "photos", "folder": "", "crop": crop, "batch_size": 4, "threads": 2}
    return config


def _shortened(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Two steps of a small adapter on the included codec of convolutions."""
    config.all_in_one.update(base="tic-lite", quality=1, drop_path=False)
    if config.adapter.get("name") == "all-in-one":
        config.adapter.update(middle=4, tam_hidden=4, msf_width=4)
    config.compute.remat = ()
    return few_steps(config)


def smoke_scenes(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A short run on rendered scenes, judged by a small MTLoRA of random weights."""
    swin = {
        "width": 8,
        "depths": (1, 1),
        "heads": (1, 2),
        "windows": (3, 3),
        "mlp_ratio": 2,
        "drop_path": 0.0,
    }
    model = {"swin": swin, "channels": (4, 8), "hidden": 16, "shared_rank": 4, "dropout": 0.0}
    config.downstream = {"name": "mtlora", "weights": "random", "model": model}
    config.data = {"name": "scenes", "count": 4, "size": 64, "seed": 1, "batch_size": 2, "folder": ""}
    return _shortened(config)


def smoke_photos(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A short run on the included photos, judged by networks of random weights."""
    config = photos(config, crop=64, weights=("random",))
    config.data.update(folder=str(SAMPLE_FOLDER), batch_size=2, threads=1)
    return _shortened(config)
