"""One decoder of several tasks behind their trained codecs, which stay as they are (DoRA-ICM, supplement 1.6).

    photo ─► codec of semseg ─► features ─┐
    photo ─► codec of depth  ─► features ─┼─► decoder, all tasks attend to one another ─► predictions ─► Σ w · loss
    photo ─► …                            ┘

Streams and rates are those of the codecs, so there is no rate in the loss.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from icm_jax.data.dense_sources import DenseSource, read_source, source_values
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.model import DoraICM, variables
from icm_jax.models.eva02 import normalise
from icm_jax.objectives.held_out import held_out_means
from icm_jax.objectives.random_task_models import RANDOM, random_codecs
from icm_jax.pretrained import joint_decoder as stored
from icm_jax.pretrained import store
from icm_jax.pretrained.dora_icm import (
    BACKBONE_FILE,
    read_backbone,
    refuse_other_backbone,
    trees,
    write_backbone,
)
from icm_jax.pretrained.joint_decoder import JointSpec, StoredJointDecoder, spec_of
from icm_jax.pretrained.store import StoredCodec
from icm_jax.tasks.dense import dense_task
from icm_jax.train.config import RunConfig
from icm_jax.train.objective import Batch, Loss, Objective, Params, Share


@dataclass(frozen=True)
class JointConfig:
    """What is decoded together.

    Attributes:
        tasks: dense tasks of the data, in the order of `codecs`.
        codecs: folders of their codecs, trained on one backbone.
        backbone: its file; "random" draws it and small codecs, for trying a config without any.
    """

    tasks: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    backbone: str = ""

    def __post_init__(self) -> None:
        wanted = 0 if self.backbone == RANDOM else len(self.tasks)
        if not self.tasks or len(self.codecs) != wanted:
            raise IcmError(
                f"{len(self.codecs)} joint.codecs for {len(self.tasks)} joint.tasks; give one a task, and none with "
                f"joint.backbone={RANDOM!r}"
            )


SECTIONS: dict[str, Any] = {"decoder": JointSpec, "joint": JointConfig, "data": read_source}


def joint_decoder(run: RunConfig, decoder: JointSpec, joint: JointConfig, data: DenseSource) -> Objective:
    """The objective of a config with the sections above.

    Raises:
        IcmError: codecs that are not there, not of these tasks, or not of one backbone.
    """
    if joint.backbone == RANDOM:
        codecs, backbone = random_codecs(data.dataset, joint.tasks)
    else:
        codecs = {task: store.load(folder) for task, folder in zip(joint.tasks, joint.codecs, strict=True)}
        backbone = read_backbone(Path(joint.backbone))
    stored.refuse_strangers(codecs)
    for task, codec in codecs.items():
        if spec_of(codec).outputs != dense_task(data.dataset, task).outputs:
            raise IcmError(f"{codec.label} predicts {spec_of(codec).outputs} channels, which is not {task}")
        refuse_other_backbone(codec, backbone)
    trained = _JointDecoder(decoder, joint, data, codecs, backbone)
    return Objective(
        initial_params=trained.initial_params,
        loss=trained.loss,
        batches=trained.batches,
        batch_size=data.batch_size,
        export=trained.export,
        validate=trained.validate,
        trainable=("decoder/.*",),
        statistics=("batch_stats/.*",),
    )


@dataclass(frozen=True)
class _JointDecoder:
    spec: JointSpec
    config: JointConfig
    data: DenseSource
    codecs: Mapping[str, StoredCodec]
    backbone: Mapping[str, Any]

    def initial_params(self, key: Array) -> dict[str, Any]:
        codecs = {
            task: dict(zip(("params", "batch_stats"), trees(codec), strict=True))
            for task, codec in self.codecs.items()
        }
        features = [jnp.zeros((1, 4, 4, spec_of(codec).coded)) for codec in self.codecs.values()]
        made = jax.jit(lambda key: self.spec.decoder(self.codecs).init(key, features, (64, 64)))(key)
        return {**made, "decoder": made.pop("params"), "codecs": codecs, "backbone": self.backbone}

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        value, parts, statistics = self._judge(params, batch, train=True)
        return Loss(value, parts, {"batch_stats": statistics})

    def _judge(self, params: Params, batch: Batch, train: bool) -> tuple[Array, dict[str, Array], Any]:
        images = normalise(batch["image"].astype(jnp.float32) / 255.0)
        features = [self._features(params, task, images) for task in self.codecs]
        predictions, changed = self.spec.decoder(self.codecs).apply(
            {"params": params["decoder"], "batch_stats": params["batch_stats"]},
            features,
            images.shape[1:3],
            train=train,
            mutable=["batch_stats"],
        )
        parts, total = {}, jnp.zeros(())
        for task, prediction in zip(self.codecs, predictions, strict=True):
            dense = dense_task(self.data.dataset, task)
            parts[task] = dense.loss(prediction, batch[task])
            total = total + dense.weight * parts[task]
        return total, parts, changed.get("batch_stats", params["batch_stats"])

    def _features(self, params: Params, task: str, images: Array) -> Array:
        """As the decoder gets them: rounded."""
        spec, own = spec_of(self.codecs[task]), params["codecs"][task]
        collections = variables(spec, {**own["params"], "backbone": params["backbone"]}, own["batch_stats"])
        return jax.lax.stop_gradient(DoraICM(spec).apply(collections, images, method="coded").features)

    def batches(self, seed: int, share: Share, first: int) -> Iterator[Batch]:
        return self.data.batches(self.config.tasks, seed, (share.index, share.count), first)

    def validate(self, params: Params) -> dict[str, float]:
        """Losses of all tasks, means over the held-out batches."""
        judged = jax.jit(lambda params, batch: self._judge(params, batch, train=False)[:2])
        return held_out_means(partial(judged, params), self.data.held_out(self.config.tasks))

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """A folder of the decoder, its codecs and their backbone."""
        facts = {**facts, **dataclasses.asdict(self.config), "data": source_values(self.data)}
        made = StoredJointDecoder(self.spec, self.codecs, params["decoder"], params["batch_stats"], facts)
        stored.save(made, folder / "joint")
        write_backbone(folder / "joint" / BACKBONE_FILE, params["backbone"], facts)
        return [folder / "joint"]
