"""Small models of dense tasks with random weights, to try what builds on trained ones: "random" in a config."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from icm_jax.models.dora_icm.model import initial
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.pretrained.dora_icm import backbone_hash, to_stored
from icm_jax.pretrained.store import StoredCodec
from icm_jax.pretrained.task_network import StoredNetwork
from icm_jax.recognizers.random_weights import drawn
from icm_jax.tasks.dense import dense_task

RANDOM = "random"
SMALL = DoraICMSpec(
    width=16,
    depth=1,
    heads=2,
    grid=(4, 4),
    rank=2,
    alpha=2,
    preliminary=(8,),
    N=4,
    decoder_widths=(16, 8),
    decoder_blocks=1,
)


class RandomCodecs(NamedTuple):
    """Codecs of features by task, and the backbone that they share."""

    codecs: Mapping[str, StoredCodec]
    backbone: dict[str, Any]


class RandomNetwork(NamedTuple):
    """A network without a codec, and its backbone."""

    network: StoredNetwork
    backbone: dict[str, Any]


def random_codecs(dataset: str, tasks: Sequence[str]) -> RandomCodecs:
    """One codec a task of a data set."""
    codecs: dict[str, StoredCodec] = {}
    backbone: dict[str, Any] = {}
    for seed, task in enumerate(tasks):
        spec = dataclasses.replace(SMALL, outputs=dense_task(dataset, task).outputs)
        params, batch_stats = _drawn(spec, seed)
        backbone = backbone or params["backbone"]
        own = {**params, "backbone": backbone}
        codecs[task] = to_stored(task, 1, 1.0, spec, own, batch_stats, {"task": task})
    return RandomCodecs(codecs, backbone)


def random_network(dataset: str, task: str) -> RandomNetwork:
    """A network of one task."""
    spec = dataclasses.replace(SMALL, outputs=dense_task(dataset, task).outputs, compress=False)
    params, batch_stats = _drawn(spec, 0)
    backbone = params.pop("backbone")
    spec = dataclasses.replace(spec, base_hash=backbone_hash(backbone))
    return RandomNetwork(StoredNetwork(task, spec, params, batch_stats, {"task": task}), backbone)


def _drawn(spec: DoraICMSpec, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    params, batch_stats = drawn(jax.eval_shape(lambda: initial(jax.random.key(0), spec)), seed)
    return params, batch_stats
