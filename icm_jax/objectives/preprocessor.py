"""A pre-processor for a classical codec in front of a frozen network of a task (DoRA-ICM's baseline).

photo ─► pre-processor ─► stand-in for the codec ─► picture as decoded ─► frozen network ─► loss of the task
                                 └─► bits

loss = bits of the stand-in a pixel + lmbda · w · loss of the task
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.data.dense_sources import DenseSource, read_source, source_values
from icm_jax.entropy.block_dct import block_dct_coded
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.model import DoraICM, variables
from icm_jax.models.eva02 import normalise
from icm_jax.models.preprocessor import Preprocessor, PreprocessorSpec
from icm_jax.objectives.held_out import held_out_means
from icm_jax.objectives.random_task_models import RANDOM, random_network
from icm_jax.pretrained.dora_icm import BACKBONE_FILE, read_backbone
from icm_jax.pretrained.preprocessor import PREPROCESSOR_FILE, write_preprocessor
from icm_jax.pretrained.task_network import StoredNetwork, read_network
from icm_jax.task_network import TaskNetwork
from icm_jax.tasks.dense import DenseTask, dense_task
from icm_jax.train.config import RunConfig
from icm_jax.train.objective import Batch, Loss, Objective, Params, Share


@dataclass(frozen=True)
class ForNetwork:
    """Whom the pictures are for, and how much a bit is worth.

    Attributes:
        network: file of a network without a codec (`model.compress=False`); "random" draws a small one of semseg, for
            trying a config without any.
        backbone: its backbone's; "" for the one beside it.
        lmbda: weight of the task against bits a pixel.
        steps: quantisation steps of the stand-in are drawn between these, in units of 1/255, evenly in their logarithm.
    """

    network: str = ""
    backbone: str = ""
    lmbda: float = 1.0
    steps: tuple[float, float] = (8.0, 80.0)

    def __post_init__(self) -> None:
        if not 0 < self.steps[0] <= self.steps[1]:
            raise IcmError(f"judge.steps={self.steps} must be two steps above 0, the smaller first")


SECTIONS: dict[str, Any] = {"preprocessor": PreprocessorSpec, "judge": ForNetwork, "data": read_source}


def preprocessor(
    run: RunConfig, preprocessor: PreprocessorSpec, judge: ForNetwork, data: DenseSource
) -> Objective:
    """The objective of a config with the sections above.

    Raises:
        IcmError: a network that is not there, or of a task that the data has no labels of.
    """
    if judge.network == RANDOM:
        network, backbone = random_network(data.dataset, "semseg")
    else:
        network = read_network(Path(judge.network))
        backbone = read_backbone(Path(judge.backbone or Path(judge.network).with_name(BACKBONE_FILE)))
    TaskNetwork(network, backbone)  # refuses another backbone
    task = dense_task(data.dataset, network.task)
    trained = _Preprocessing(preprocessor, judge, data, network, backbone, task)
    return Objective(
        initial_params=trained.initial_params,
        loss=trained.loss,
        batches=trained.batches,
        batch_size=data.batch_size,
        export=trained.export,
        validate=trained.validate,
        trainable=("preprocessor/.*",),
    )


@dataclass(frozen=True)
class _Preprocessing:
    spec: PreprocessorSpec
    config: ForNetwork
    data: DenseSource
    network: StoredNetwork
    backbone: Mapping[str, Any]
    task: DenseTask

    def initial_params(self, key: Array) -> dict[str, Any]:
        side = self.spec.unit
        made = jax.jit(lambda key: Preprocessor(self.spec).init(key, jnp.zeros((1, side, side, 3))))(key)
        frozen = {"model": {**self.network.params, "backbone": self.backbone}}
        return {"preprocessor": made["params"], "batch_stats": self.network.batch_stats, **frozen}

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        low, high = np.log(self.config.steps)
        size = jnp.exp(jax.random.uniform(key, (), minval=low, maxval=high)) / 255
        return Loss(*self._judge(params, batch, size))

    def _judge(self, params: Params, batch: Batch, size: float | Array) -> tuple[Array, dict[str, Array]]:
        photos = batch["image"].astype(jnp.float32) / 255.0
        made = jnp.asarray(Preprocessor(self.spec).apply({"params": params["preprocessor"]}, photos))
        coded = block_dct_coded(made, size)
        collections = variables(self.network.spec, params["model"], params["batch_stats"])
        output = DoraICM(self.network.spec).apply(collections, normalise(jnp.clip(coded.images, 0, 1)))
        bpp = coded.bits.mean() / (photos.shape[1] * photos.shape[2])
        final = self.task.loss(output.prediction, batch[self.network.task])
        return bpp + self.config.lmbda * self.task.weight * final, {"proxy_bpp": bpp, "final": final}

    def batches(self, seed: int, share: Share, first: int) -> Iterator[Batch]:
        return self.data.batches((self.network.task,), seed, (share.index, share.count), first)

    def validate(self, params: Params) -> dict[str, float]:
        """Loss and its parts at the middle step, means over the held-out batches."""
        size = float(np.sqrt(np.prod(self.config.steps)) / 255)
        judged = jax.jit(lambda params, batch: self._judge(params, batch, size))
        return held_out_means(partial(judged, params), self.data.held_out((self.network.task,)))

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """One file."""
        facts = {**facts, **dataclasses.asdict(self.config), "data": source_values(self.data)}
        file = folder / PREPROCESSOR_FILE
        write_preprocessor(file, self.spec, params["preprocessor"], facts)
        return [file]
