"""MTLoRA by its recipe: several dense tasks from one Swin, of which updates, norms and small parts are trained.

    scene ─► Swin + LoRA ─► a prediction a task ─► Σ weight · loss        weights of MTI-Net

What it writes is what a multi-task codec is judged by: `load_recognizer("mtlora", FILE)`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from icm_jax import paths
from icm_jax.data.dense_sources import SceneConfig
from icm_jax.errors import IcmError
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


@dataclass(frozen=True)
class MultiTaskConfig:
    """Where the backbone comes from.

    Attributes:
        backbone: weights of a Swin, published or the `backbone.safetensors` of another run; "" starts from random ones.
    """

    backbone: str = ""


def read_model(values: Mapping[str, Any]) -> MTLoRASpec:
    """The section `model`: fields of `MTLoRASpec` but `outputs`, which tasks decide; `swin` has fields of `SwinSpec`.

    Raises:
        IcmError: an unknown key or task, or impossible values.
    """
    known = TASKS["scenes"]
    tasks = tuple(values.get("tasks", MTLoRASpec.tasks))
    if unknown := [task for task in tasks if task not in known]:
        raise IcmError(f"model.tasks: scenes have no labels of {unknown[0]!r}; choose of {', '.join(known)}")
    if "outputs" in values:
        raise IcmError("model.outputs follows from model.tasks; leave it out")
    swin = section("model.swin", SwinSpec, {"norm": False, "classes": 0, **values.get("swin", {})})
    outputs = tuple(known[task].outputs for task in tasks)
    return section("model", MTLoRASpec, {**values, "swin": swin, "outputs": outputs})


SECTIONS: dict[str, Callable[..., Any]] = {
    "model": read_model,
    "multi_task": MultiTaskConfig,
    "data": SceneConfig,
}


def multi_task(
    run: RunConfig, model: MTLoRASpec, multi_task: MultiTaskConfig, data: SceneConfig
) -> Objective:
    """The objective of a config with the sections above."""
    trained = _MultiTask(run, model, multi_task, data)
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
    data: SceneConfig

    @property
    def tasks(self) -> dict[str, DenseTask]:
        return {task: TASKS["scenes"][task] for task in self.spec.tasks}

    def initial_params(self, key: Array) -> dict[str, Any]:
        image = jnp.zeros((1, self.data.size, self.data.size, 3))
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
        """Loss and that of each task, with the network as it is used, on scenes of another seed."""
        (batch,) = self.data.held_out(self.spec.tasks)

        @jax.jit
        def judged(params: Params, batch: Batch) -> tuple[Array, dict[str, Array]]:
            variables = {"params": frozen_params(params)}
            return self._judge(MTLoRA(self.spec).apply(variables, _normalised(batch["image"])), batch)

        value, parts = judged(params, batch)
        return {"loss": float(value)} | {name: float(part) for name, part in parts.items()}

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """The network under its publisher's names, and its backbone alone."""
        facts = {**facts, **dataclasses.asdict(self.config), "scenes": dataclasses.asdict(self.data)}
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
