"""MTLoRA by its recipe: several dense tasks from one Swin, of which updates, norms and small parts are trained.

    picture ─► Swin + LoRA ─► a prediction a task ─► Σ weight · loss        weights of MTI-Net

What it writes is what a multi-task codec is judged by: `load_recognizer("mtlora", FILE)`.
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

from icm_jax import paths
from icm_jax.data.dense_sources import DenseSource, read_source, source_values
from icm_jax.errors import IcmError
from icm_jax.objectives.held_out import held_out_means
from icm_jax.recognizers.mtlora import PREPROCESSING, MTLoRA, MTLoRASpec
from icm_jax.recognizers.registry import load_recognizer, save_weights
from icm_jax.recognizers.swin import Swin, SwinSpec
from icm_jax.tasks.dense import DenseTask
from icm_jax.tasks.mti_net import TASKS
from icm_jax.train.config import RunConfig, section
from icm_jax.train.objective import Batch, Loss, Objective, Params, Share

# As published: all updates and heads, and of the backbone everything but the large kernels.
TRAINED = (
    r"model/(lora_shared|lora_tasks|head_\w+)/.*",
    r"model/backbone/(patch_embed|patch_norm|merge\d+)/.*",
    r"model/backbone/layer\d+_block\d+/(norm[12]/.*|attn/relative_position_bias)",
)


DRAWN_AT = 64  # pixels a side of the picture that the first weights are drawn for


@dataclass(frozen=True)
class MultiTaskConfig:
    """Where the backbone comes from.

    Attributes:
        backbone: weights of a Swin, published or the `backbone.safetensors` of another run; "" starts from random ones.
    """

    backbone: str = ""


def read_model(values: Mapping[str, Any]) -> MTLoRASpec:
    """The section `model`: fields of `MTLoRASpec`; `swin` has fields of `SwinSpec`.

    `outputs` follow from the labels of the tasks, see `with_outputs`; until then they are 1.

    Raises:
        IcmError: an unknown key, or impossible values.
    """
    if "outputs" in values:
        raise IcmError("model.outputs follows from model.tasks; leave it out")
    swin = section("model.swin", SwinSpec, {"norm": False, "classes": 0, **values.get("swin", {})})
    outputs = (1,) * len(values.get("tasks", MTLoRASpec.tasks))
    return section("model", MTLoRASpec, {**values, "swin": swin, "outputs": outputs})


def with_outputs(model: MTLoRASpec, dataset: str) -> MTLoRASpec:
    """The network for the labels of a data set.

    Raises:
        IcmError: a task that it has no labels of.
    """
    known = TASKS[dataset]
    if unknown := [task for task in model.tasks if task not in known]:
        raise IcmError(
            f"model.tasks: {dataset} has no labels of {unknown[0]!r}; choose of {', '.join(known)}"
        )
    return dataclasses.replace(model, outputs=tuple(known[task].outputs for task in model.tasks))


SECTIONS: dict[str, Callable[..., Any]] = {
    "model": read_model,
    "multi_task": MultiTaskConfig,
    "data": read_source,
}


def multi_task(
    run: RunConfig, model: MTLoRASpec, multi_task: MultiTaskConfig, data: DenseSource
) -> Objective:
    """The objective of a config with the sections above.

    Raises:
        IcmError: a task that the data has no labels of.
    """
    trained = _MultiTask(run, with_outputs(model, data.dataset), multi_task, data)
    return Objective(
        initial_params=trained.initial_params,
        loss=trained.loss,
        batches=trained.batches,
        batch_size=data.batch_size,
        export=trained.export,
        validate=trained.validate,
        trainable=TRAINED,
        statistics=("batch_stats/.*",),
    )


@dataclass(frozen=True)
class _MultiTask:
    run: RunConfig
    spec: MTLoRASpec
    config: MultiTaskConfig
    data: DenseSource

    @property
    def tasks(self) -> dict[str, DenseTask]:
        return {task: TASKS[self.data.dataset][task] for task in self.spec.tasks}

    def initial_params(self, key: Array) -> dict[str, Any]:
        image = jnp.zeros((1, DRAWN_AT, DRAWN_AT, 3))
        made = jax.jit(MTLoRA(self.spec, frozen=False).init)(key, image)
        params = dict(made["params"])
        if self.config.backbone:
            params["backbone"] = pretrained_backbone(Path(self.config.backbone), self.spec.swin)
        return {"model": params, "batch_stats": made["batch_stats"]}

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        dropout, drop_path = jax.random.split(key)
        predictions, changed = MTLoRA(self.spec, frozen=False).apply(
            {"params": params["model"], "batch_stats": params["batch_stats"]},
            _normalised(batch["image"]),
            train=True,
            rngs={"dropout": dropout, "drop_path": drop_path},
            mutable=["batch_stats"],
        )
        value, parts = self._judge(predictions, batch)
        return Loss(value, parts, {"batch_stats": changed["batch_stats"]})

    def _judge(self, predictions: Mapping[str, Array], batch: Batch) -> tuple[Array, dict[str, Array]]:
        """The weighted sum, and the loss of each task."""
        parts = {name: task.loss(predictions[name], batch[name]) for name, task in self.tasks.items()}
        total = jnp.stack([task.weight * parts[name] for name, task in self.tasks.items()]).sum()
        return total, parts

    def batches(self, seed: int, share: Share, first: int) -> Any:
        return self.data.batches(self.spec.tasks, seed, (share.index, share.count), first)

    def validate(self, params: Params) -> dict[str, float]:
        """Loss and that of each task, with the network as it is used, means over the held-out batches."""

        @jax.jit
        def judged(params: Params, batch: Batch) -> tuple[Array, dict[str, Array]]:
            variables = {"params": frozen_params(params)}
            return self._judge(MTLoRA(self.spec).apply(variables, _normalised(batch["image"])), batch)

        return held_out_means(partial(judged, params), self.data.held_out(self.spec.tasks))

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """The network under its publisher's names, and its backbone alone."""
        facts = {**facts, **dataclasses.asdict(self.config), "data": source_values(self.data)}
        whole, backbone = folder / "mtlora.safetensors", folder / "backbone.safetensors"
        save_weights("mtlora", MTLoRA(self.spec), frozen_params(params), whole, facts)
        save_weights("swin-t", Swin(self.spec.swin), params["model"]["backbone"], backbone, facts)
        return [whole, backbone]


def frozen_params(params: Params) -> dict[str, Any]:
    """Parameters of the network as it is used: statistics of norms among them."""
    return paths.merge(params["model"], params["batch_stats"])


def pretrained_backbone(file: Path, spec: SwinSpec) -> dict[str, Any]:
    """The parameters of a Swin without final norm and classifier.

    Raises:
        IcmError: no Swin, or one of other sizes.
    """
    found = load_recognizer("swin-t", file)
    assert isinstance(found.network, Swin)
    same = dataclasses.replace(
        found.network.spec, norm=spec.norm, classes=spec.classes, drop_path=spec.drop_path
    )
    if same != spec:
        raise IcmError(f"multi_task.backbone={file} is a {same}, model.swin a {spec}; make them equal")
    return {name: tree for name, tree in found.params.items() if name not in ("norm", "classifier")}


def _normalised(images: Array) -> Array:
    return PREPROCESSING.normalise(jnp.asarray(images, jnp.float32) / 255)
