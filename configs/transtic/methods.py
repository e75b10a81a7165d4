"""What the three tasks of TransTIC have in common: the ways of steering, and the short run on included photos."""

import ml_collections

from configs.smoke import few_steps
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.errors import IcmError
from icm_jax.train.registry import default_config

METHODS = {
    "prompts": {"name": "transtic"},
    "sfma": {"name": "sfma"},
    "sft": {"name": "sft"},
    "channel_selection": {"name": "channel-selection"},  # decodes features that the network goes on from
    "roi": {"name": "roi"},  # squared error, weighed by the network's quality map
    "full": {},  # no adapter: the whole codec is trained
}


def steered(task: str, variant: str) -> ml_collections.ConfigDict:
    """A config of a task before its own values: crops of 256, Adam at 1e-4 without clipping, a method as adapter.

    Raises:
        IcmError: no such method.
    """
    if variant != "smoke" and variant not in METHODS:
        raise IcmError(f"variant {variant!r} is unknown; choose one of {', '.join(METHODS)}, smoke")
    config = default_config("transfer")
    method = "sfma" if variant == "smoke" else variant
    config.name = f"{task}-{method}"
    config.adapter = METHODS[method]
    config.data.crop = 256
    config.optim.update(learning_rate=1e-4, clip_norm=float("inf"))
    config.checkpoint.every_steps = 2500
    config.log.every_steps = 100
    return config


def shortened(config: ml_collections.ConfigDict, variant: str) -> ml_collections.ConfigDict:
    """The config with its method's own loss; for "smoke" two steps against a network of random weights."""
    if variant == "roi":
        # lmbda of the base counts at the middle of the map.
        config.transfer.update(distortion=1.0, rate=1.0, by_lmbda=True)
    if variant == "smoke":
        # Its first blocks alone: what lies behind them need not be compiled.
        config.transfer.update(recognizer="mobilenet-v2", weights="random", taps=("features.1", "features.3"))
        config.data.update(folder=str(SAMPLE_FOLDER), crop=64, batch_size=8, threads=1)
        few_steps(config)
    return config
