"""All-in-One and what it is compared with on the small Swin base, short enough for a CPU: no labels, minutes a run.

    python -m icm_jax.main --config=configs/all_in_one/small.py --workdir=runs/small/aio-2 \
        --config.data.folder=PHOTOS --config.downstream.weights='("WEIGHTS",)'

Tasks as in photos.py, `:aio-semseg+sal+classification` for three; single-task baselines are `:sfma-semseg`,
`:transtic-sal`, `:full-semseg` … at the same steps. Other rates: `:aio@3`, `:sfma-sal@4`, the quality of the base.

All start from an adapter for classification, `--config.init_from=FILE` of configs/transtic/small.py: All-in-One and
AdaptICMH from AdaptICMH's, prompts from prompts, `:full` from a codec, `--config.all_in_one.base=FOLDER`.

Loss: rate · (bpp + lmbda / 16 · 255² · mse) + Σ weight · loss / tasks. At `tic-base` q2 to q4 the losses of the three
networks fall by about one amount a bit with these weights, which the rates follow. So a stream for two tasks costs
about what one for one task does, and the mean over tasks is what it is for.

Expected: `docs/results/all_in_one.md`. `:smoke` takes two steps with random weights.
"""

from collections.abc import Mapping

import ml_collections

from configs.all_in_one.published import photos, published, smoke_photos
from configs.transtic.small import SIZES
from icm_jax.errors import IcmError
from icm_jax.train.registry import default_config

PHOTOS = 2571
TASKS = ("semseg", "sal")
WEIGHTS = {"semseg": 3.0, "sal": 5.0, "classification": 1.0}
# Of a task's mean slope over bits at the base's own rate; by quality of the base.
RATES = {2: 3.6, 3: 1.8, 4: 1.3}
LMBDA = {2: 0.0035, 3: 0.007, 4: 0.015}
# Widths for a base of 32 to 96 channels.
ADAPTERS = {
    "all-in-one": {**SIZES["sfma"], "decoder_adaptor_position": "before", "tam_hidden": 32, "msf_width": 16},
    "sfma": SIZES["sfma"],
    "transtic": SIZES["prompts"],
}


def get_config(variant: str = "aio") -> ml_collections.ConfigDict:
    """The recipe of a variant; `VARIANT@QUALITY` for another quality of the base than 2."""
    if variant == "smoke":
        return smoke_photos(published("small", "sfma-features", TASKS, PHOTOS))
    variant, quality = with_quality(variant)
    config = photos(published("small", variant, TASKS, PHOTOS), crop=256)
    config.data.update(batch_size=1, threads=1)
    shorten(config, quality, WEIGHTS)
    return config


def with_quality(variant: str) -> tuple[str, int]:
    """A variant without `@QUALITY`, and the quality, 2 where none is named."""
    name, _, quality = variant.partition("@")
    if quality not in ("", *map(str, RATES)):
        raise IcmError(
            f"quality {quality!r} of the base is unknown; choose one of {', '.join(map(str, RATES))}"
        )
    return name, int(quality or 2)


def shorten(config: ml_collections.ConfigDict, quality: int, weights: Mapping[str, float]) -> None:
    """Makes a config one of the small base at a quality, minutes long; losses are averaged over tasks."""
    tasks = config.all_in_one.tasks
    config.adapter.update(ADAPTERS.get(config.adapter.get("name"), {}))
    config.all_in_one.update(quality=quality, rate=RATES[quality], lmbda=LMBDA[quality] / 16, drop_path=False)
    config.all_in_one.weights = tuple(weights[task] / len(tasks) for task in tasks)
    whole = not config.adapter
    config.optim = default_config("all_in_one").optim
    config.optim.update(optimizer="muon" if whole else "adam", learning_rate=2e-4 if whole else 5e-4)
    config.optim.update(total_steps=120, warmup_steps=10, schedule="cosine", decay_start=0.3, ema_decay=0.98)
    if config.adapter.get("name") == "all-in-one":
        # Heads start at zero and see large features: at the rate of SFMAs they would move whole pictures in few steps.
        config.optim.rates = (("adapter/params/g_s/head_.*", 0.02),)
    config.compute.remat = ()
    config.checkpoint.every_steps = 100
    config.log.every_steps = 10
