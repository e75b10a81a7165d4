"""All-in-One: a frozen codec learns to serve several tasks from one stream, through frozen networks that judge it.

    x ─► codec + adapter ─► the shared picture ─► rate · (bpp + lmbda · 255² · mse)  ┐
                        └─► a picture a task ─► frozen network ─► Σ weight · loss    ┴─► sum

Zhao et al., section 3.4. What has one picture alone (SFMA, prompts, the codec itself) shows it to every task: the
single-task baselines are this objective with one task and another adapter. Decoders see rounded latents, with a
straight-through gradient; the rate is that of noisy ones.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax import paths, plain_values
from icm_jax.adapters import all_in_one as adapter_paths
from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.all_in_one import AllInOneSpec
from icm_jax.adapters.store import StoredAdapter
from icm_jax.data.dense_sources import SOURCES, DenseSource
from icm_jax.errors import IcmError
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.latent_codec import Latents
from icm_jax.objectives.base_codec import CropConfig, estimated_bits
from icm_jax.objectives.downstream import Downstream, DownstreamSpec, read_downstream
from icm_jax.objectives.held_out import held_out_means
from icm_jax.objectives.steered import Steered, read_adapter, steered
from icm_jax.train.config import RunConfig
from icm_jax.train.objective import Batch, Loss, Objective, Params, Share


@dataclass(frozen=True)
class AllInOneConfig:
    """What is steered, for which tasks, and how rate and tasks are weighed.

    Attributes:
        base: the frozen codec: a codec folder, or the name of an included codec.
        quality: rate of an included codec.
        tasks: what is trained for; empty: the tasks of the adapter.
        weights: of the tasks' losses, in their order; empty: those of MTI-Net.
        rate: λ_rd, the weight of bpp + lmbda · 255² · mse against the tasks. The paper's models differ in it alone.
        lmbda: weight of the shared picture's error against bits; 0 takes the base's.
        drop_path: keep the frozen codec's stochastic depth on, as published; off is less noisy.
        extends: a trained All-in-One adapter that gets `tasks` as guests; only their branches are trained.
    """

    base: str = "tic-base"
    quality: int = 2
    tasks: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    rate: float = 1.0
    lmbda: float = 0.0
    drop_path: bool = True
    extends: str = ""

    def __post_init__(self) -> None:
        if min(self.rate, self.lmbda, *self.weights, 0.0) < 0:
            raise IcmError(
                f"all_in_one.rate={self.rate}, lmbda={self.lmbda} and weights={self.weights} must not be negative"
            )


def read_data(values: Mapping[str, Any]) -> CropConfig | DenseSource:
    """The section `data`: `name` "photos" (by default, no labels), or a name of `read_source`, and its fields."""
    source: CropConfig | DenseSource = plain_values.to_spec(
        {"name": "photos", **values}, {"photos": CropConfig, **SOURCES}, "data"
    )
    return source


SECTIONS: dict[str, Callable[..., Any]] = {
    "all_in_one": AllInOneConfig,
    "adapter": read_adapter,
    "downstream": read_downstream,
    "data": read_data,
}


def all_in_one(
    run: RunConfig,
    all_in_one: AllInOneConfig,
    adapter: AdapterSpec | None,
    downstream: DownstreamSpec,
    data: CropConfig | DenseSource,
) -> Objective:
    """The objective of a config with the sections above.

    Raises:
        IcmError: tasks, adapter, networks and data that do not fit each other, or a name that streams can not carry.
    """
    adapter_store.refuse_name(run.name)
    if run.init_from and all_in_one.extends:
        raise IcmError("init_from and all_in_one.extends both name an adapter to start from; leave one out")
    old = adapter_store.load(all_in_one.extends) if all_in_one.extends else None
    spec = adapter if old is None else extended(old, adapter, all_in_one.tasks)
    tasks = trained_tasks(all_in_one, spec)
    judge = downstream.build(tasks, "" if isinstance(data, CropConfig) else data.dataset)
    codec = steered(
        "all_in_one", all_in_one.base, all_in_one.quality, spec, all_in_one.drop_path, run.init_from
    )
    if old is not None:
        old.refuse_other_base(codec.base)
    task = _AllInOne(run.name, all_in_one, codec, old, tasks, judge, data)
    return Objective(
        initial_params=task.initial_params,
        loss=task.loss,
        batches=task.batches,
        batch_size=data.batch_size,
        export=task.export,
        validate=None if isinstance(data, CropConfig) else task.validate,
        trainable=codec.trainable if old is None else (f"adapter/{adapter_paths.paths_of(tasks)}",),
        statistics=codec.statistics,
    )


def extended(old: StoredAdapter, adapter: AdapterSpec | None, guests: tuple[str, ...]) -> AllInOneSpec:
    """The specification of a trained adapter with guests.

    Raises:
        IcmError: no adapter of All-in-One, no guests, or a section `adapter` that would say otherwise.
    """
    if not isinstance(old.spec, AllInOneSpec):
        raise IcmError(f"adapter {old.name} is no All-in-One adapter; only to those can tasks be added")
    if adapter is not None:
        raise IcmError("all_in_one.extends names the adapter; leave the section adapter empty")
    if not guests:
        raise IcmError("all_in_one.extends needs new tasks; name them in all_in_one.tasks")
    return adapter_paths.with_guests(old.spec, guests)


def trained_tasks(config: AllInOneConfig, adapter: AdapterSpec | None) -> tuple[str, ...]:
    """The tasks whose losses are minimised.

    Raises:
        IcmError: none is known, they are not the adapter's, or their weights are more or fewer.
    """
    own = adapter.tasks if isinstance(adapter, AllInOneSpec) else ()
    tasks = config.tasks or own
    if not tasks:
        raise IcmError("all_in_one.tasks is empty, and the adapter has no tasks of its own; name one or more")
    if own and not config.extends and set(tasks) != set(own):
        raise IcmError(
            f"all_in_one.tasks={tasks}, but adapter.tasks={own}; make them equal, or leave out the former"
        )
    if config.weights and len(config.weights) != len(tasks):
        raise IcmError(
            f"all_in_one.weights has {len(config.weights)} numbers for {len(tasks)} tasks; give each one"
        )
    return tasks


@dataclass(frozen=True)
class _AllInOne:
    name: str
    config: AllInOneConfig
    codec: Steered
    old: StoredAdapter | None
    tasks: tuple[str, ...]
    downstream: Downstream
    data: CropConfig | DenseSource

    def initial_params(self, key: Array) -> dict[str, Any]:
        tree = {**self.codec.fresh(key), "downstream": self.downstream.params, "balance": self.balance}
        if self.old is not None:
            known = {path: jnp.asarray(leaf) for path, leaf in paths.flatten(self.old.variables).items()}
            tree["adapter"] = paths.unflatten(paths.flatten(tree["adapter"]) | known)
        return tree

    @property
    def balance(self) -> dict[str, Array]:
        """What is weighed how. Frozen parameters, not constants: models of one sweep share a compiled step."""
        config, known = self.config, self.downstream.weights
        return {
            "rate": jnp.float32(config.rate),
            "lmbda": jnp.float32(config.lmbda or self.codec.base.lmbda),
            "tasks": jnp.array(config.weights or [known[task] for task in self.tasks], jnp.float32),
        }

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        x = _in_unit_range(batch)
        latents, statistics = self.codec.latents(params, x, key, rounded=True)
        value, metrics = self._judge(params, latents, x, batch)
        return Loss(value, metrics, statistics)

    def _judge(
        self, params: Params, latents: Latents, x: Array, batch: Batch
    ) -> tuple[Array, dict[str, Array]]:
        """What is minimised, and its parts."""
        adapter = self.codec.adapter
        names = adapter.pictures if adapter else ("image",)
        pictures = dict(zip(names, jnp.split(latents.x_hat, len(names), axis=-1), strict=True))
        first = pictures[names[0]]
        views = {task: jnp.clip(pictures.get(task, first), 0.0, 1.0) for task in self.tasks}
        losses = self.downstream.losses(params["downstream"], views, x, batch)
        balance = params["balance"]
        of_tasks = balance["tasks"] @ jnp.stack([losses[task] for task in self.tasks])
        bpp, mse = estimated_bits(latents) / np.prod(x.shape[:3]), jnp.mean((first - x) ** 2)
        rate_distortion = bpp + balance["lmbda"] * 255.0**2 * mse
        metrics = {"bpp": bpp, "psnr": -10.0 * jnp.log10(mse), **losses}
        return balance["rate"] * rate_distortion + of_tasks, metrics

    def batches(self, seed: int, share: Share, first: int) -> Iterator[Batch]:
        if isinstance(self.data, CropConfig):
            return self.data.batches(seed, share, first)
        return self.data.batches(self.downstream.labels, seed, (share.index, share.count), first)

    def validate(self, params: Params) -> dict[str, float]:
        """Loss and its parts with rounded latents, means over the held-out batches."""
        assert not isinstance(self.data, CropConfig)

        @jax.jit
        def judged(params: Params, batch: Batch) -> tuple[Array, dict[str, Array]]:
            x = _in_unit_range(batch)
            return self._judge(params, self.codec.decoded(params, x), x, batch)

        return held_out_means(partial(judged, params), self.data.held_out(self.downstream.labels))

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """The adapter file, or the fine-tuned codec's folder."""
        facts = {**facts, "batch_size": self.data.batch_size, **vars(self.config)}
        extends = (self.old.hash, *self.old.extends) if self.old else ()
        return self.codec.export(self.name, "+".join(self.tasks), params, facts, folder, extends)


def _in_unit_range(batch: Batch) -> Array:
    return batch["image"].astype(jnp.float32) / 255.0
