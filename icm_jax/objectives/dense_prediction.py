"""DoRA-ICM for one dense task: rate + λ · w · (loss of the final + loss of the preliminary prediction).

    photo ─► EVA-02 + DoRA ─► preliminary decoder ─► feature codec ─► decoder ─► prediction ─► loss against the label

The same objective trains what it is compared with: all parameters (`trainable=("model/.*",)`), a fixed backbone
(`model.rank=0`), LoRA (`model.magnitude=False`), no codec (`model.compress=False`), which also pretrains a backbone.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from icm_jax.adapters import store as adapter_store
from icm_jax.data.dense_sources import DenseSource, read_source, source_values
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm import model as dora_icm
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.eva02 import normalise
from icm_jax.models.registry import model_spec
from icm_jax.objectives.held_out import held_out_means
from icm_jax.pretrained import dora_icm as stored
from icm_jax.pretrained import store
from icm_jax.pretrained.task_network import NETWORK_FILE, write_network
from icm_jax.tasks.dense import DenseTask, dense_task, rate_task_loss
from icm_jax.train.config import RunConfig
from icm_jax.train.objective import Batch, Loss, Objective, Params, Share


@dataclass(frozen=True)
class DenseConfig:
    """Which task, how much a bit is worth, and where the backbone comes from.

    Attributes:
        task: a dense task of the data.
        lmbda: weight of the task against bits a pixel.
        supervise_preliminary: also judge the preliminary prediction, as published.
        dropout: of the adapters' inputs.
        drop_path: stochastic depth of the backbone's last block; for backbones that are trained whole.
        backbone: a `backbone.safetensors` of another run; "" starts from random weights.
        scan: run the backbone as one loop that computes each block again for the gradient: less memory and a
            shorter compilation, for a longer step.
    """

    task: str = "semseg"
    lmbda: float = 1.0
    supervise_preliminary: bool = True
    dropout: float = 0.0
    drop_path: float = 0.0
    backbone: str = ""
    scan: bool = False


def read_model(values: Mapping[str, Any]) -> DoraICMSpec:
    """The section `model`.

    Raises:
        IcmError: a model of another kind, or impossible values.
    """
    spec = model_spec({"name": "dora-icm", **values})
    if not isinstance(spec, DoraICMSpec):
        raise IcmError(f"model.name={values['name']!r} is no model of this objective; take 'dora-icm'")
    return spec


SECTIONS: dict[str, Callable[..., Any]] = {"model": read_model, "dense": DenseConfig, "data": read_source}


def dense_prediction(run: RunConfig, model: DoraICMSpec, dense: DenseConfig, data: DenseSource) -> Objective:
    """The objective of a config with the sections above.

    Raises:
        IcmError: a task that the data has no labels of, or a model whose prediction has another number of channels.
    """
    task = dense_task(data.dataset, dense.task)
    if model.outputs != task.outputs:
        raise IcmError(f"model.outputs={model.outputs}, but {dense.task} has {task.outputs} channels")
    trained = _DensePrediction(run, model, dense, data, task)
    return Objective(
        initial_params=trained.initial_params,
        loss=trained.loss,
        batches=trained.batches,
        batch_size=data.batch_size,
        export=trained.export,
        validate=trained.validate,
        trainable=tuple(f"model/{pattern}" for pattern in dora_icm.TRAINED),
        statistics=("batch_stats/.*",),
    )


@dataclass(frozen=True)
class _DensePrediction:
    run: RunConfig
    spec: DoraICMSpec
    config: DenseConfig
    data: DenseSource
    task: DenseTask

    def initial_params(self, key: Array) -> dict[str, Any]:
        backbone = stored.read_backbone(Path(self.config.backbone)) if self.config.backbone else None
        params, batch_stats = dora_icm.initial(key, self.spec, backbone)
        return {"model": params, "batch_stats": batch_stats}

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        noise, dropout, drop_path = jax.random.split(key, 3)
        config = self.config
        backbone = self.spec.backbone(drop_path=config.drop_path, scan=config.scan, remat=config.scan)
        own = (params["model"], params["batch_stats"])
        output, changed = dora_icm.DoraICM(self.spec, backbone).apply(
            dora_icm.variables(self.spec, *own, True, config.dropout, config.scan),
            normalise(batch["image"].astype(jnp.float32) / 255.0),
            train=True,
            rngs={"noise": noise, "dropout": dropout, "drop_path": drop_path},
            mutable=["batch_stats"],
        )
        value, parts = self._judge(output, batch)
        return Loss(value, parts, {"batch_stats": changed["batch_stats"]})

    def _judge(self, output: dora_icm.Output, batch: Batch) -> tuple[Array, dict[str, Array]]:
        label = batch[self.config.task]
        supervised = self.config.supervise_preliminary
        return rate_task_loss(output, label, self.task, self.config.lmbda, supervised)

    def batches(self, seed: int, share: Share, first: int) -> Any:
        return self.data.batches((self.config.task,), seed, (share.index, share.count), first)

    def validate(self, params: Params) -> dict[str, float]:
        """Loss and its parts, with rounded latents, means over the held-out batches."""

        @jax.jit
        def judged(params: Params, batch: Batch) -> tuple[Array, dict[str, Array]]:
            variables = dora_icm.variables(self.spec, params["model"], params["batch_stats"])
            images = normalise(batch["image"].astype(jnp.float32) / 255.0)
            return self._judge(dora_icm.DoraICM(self.spec).apply(variables, images), batch)

        return held_out_means(partial(judged, params), self.data.held_out((self.config.task,)))

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """The backbone; beside it what was trained on it: the task's codec or network, and the adapter alone."""
        facts = {**facts, **dataclasses.asdict(self.config), "data": source_values(self.data)}
        written = [folder / stored.BACKBONE_FILE]
        stored.write_backbone(written[0], params["model"]["backbone"], facts)
        if self.spec.rank:
            base = stored.Backbone(stored.backbone_hash(params["model"]["backbone"]))
            adapter = {"params": params["model"]["adapter"]}
            layers = adapter_store.make_adapter(
                self.run.name, self.config.task, self.spec.adapter(), adapter, base, {"training": facts}
            )
            written.append(folder / f"{self.run.name}.safetensors")
            adapter_store.save(layers, written[-1])
        if self.spec.compress:
            made = stored.to_stored(
                self.run.name, 1, self.config.lmbda, self.spec, params["model"], params["batch_stats"], facts
            )
            store.save(made, folder / "q1")
            written.append(folder / "q1")
        else:
            written.append(folder / NETWORK_FILE)
            own = (params["model"], params["batch_stats"])
            write_network(written[-1], self.run.name, self.spec, *own, facts)
        return written
