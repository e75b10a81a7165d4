"""The frozen networks that a codec of several tasks is trained through: their loss of each task, by its picture.

{"name": "mtlora", …}    one network for all tasks, against labels     pictures of all tasks folded into one batch
{"name": "teachers", …}  a network for each task, against its own answer to the photo; no labels
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from icm_jax import plain_values
from icm_jax.errors import IcmError
from icm_jax.recognizers.mtlora import MTLoRA, MTLoRASpec, of_tasks
from icm_jax.recognizers.random_weights import random_params
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.registry import DRAWN_AT, frozen_network, load_recognizer, with_params
from icm_jax.recognizers.swin import SwinSpec
from icm_jax.tasks import mti_net
from icm_jax.tasks.dense import DenseTask
from icm_jax.tasks.teachers import TeacherTask, teacher_task
from icm_jax.train.config import section
from icm_jax.train.objective import Batch, Params

Pictures = Mapping[str, Float[Array, "b h w 3"]]  # decoded, in 0..1, by task


class Downstream(Protocol):
    """What judges pictures. The engine holds the weights, `params`, so that no program has them as constants."""

    @property
    def params(self) -> Params:
        """Weights of the networks."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of each task's loss where a config names none."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that batches must have."""

    def losses(
        self, params: Params, pictures: Pictures, x: Float[Array, "b h w 3"], batch: Batch
    ) -> dict[str, Array]:
        """Loss of each task, differentiable in its picture."""


class DownstreamSpec(Protocol):
    """The section `downstream` of a config."""

    def build(self, tasks: Sequence[str], dataset: str) -> Downstream:
        """The networks for these tasks.

        Args:
            dataset: whose labels there are; "" for photos without any.

        Raises:
            IcmError: no weights, or networks that do not fit tasks or labels.
        """


@dataclass(frozen=True)
class MtloraConfig:
    """MTLoRA and labels, with the losses and weights of MTI-Net.

    Attributes:
        weights: its file or the folder that holds it; "" looks where `ICM_WEIGHTS` says; "random" draws weights, for
            trying a config without the file.
        model: fields of `MTLoRASpec` for random weights; `swin` has those of `SwinSpec`.
    """

    weights: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)

    def build(self, tasks: Sequence[str], dataset: str) -> Downstream:
        """See `DownstreamSpec.build`."""
        if not dataset:
            raise IcmError(
                "downstream 'mtlora' needs labels, photos have none; take 'teachers' or another data"
            )
        known = mti_net.TASKS[dataset]
        if unknown := [task for task in tasks if task not in known]:
            raise IcmError(f"{dataset} has no labels of {unknown[0]!r}; choose of {', '.join(known)}")
        chosen = {task: known[task] for task in tasks}
        drawn = self.weights == "random"
        network = self._random(chosen) if drawn else load_recognizer("mtlora", self.weights or None)
        return Labelled(of_tasks(network, tasks), chosen)

    def _random(self, tasks: Mapping[str, DenseTask]) -> Recognizer:
        values = dict(self.model)
        swin = section(
            "downstream.model.swin", SwinSpec, {"norm": False, "classes": 0, **values.pop("swin", {})}
        )
        ranks = (4,) * len(tasks)
        outputs = tuple(task.outputs for task in tasks.values())
        fixed = {"tasks": tuple(tasks), "outputs": outputs, "task_ranks": ranks, "swin": swin}
        network = MTLoRA(section("downstream.model", MTLoRASpec, {**values, **fixed}))
        return with_params("mtlora", network, random_params(network, DRAWN_AT))


@dataclass(frozen=True)
class Labelled:
    """One MTLoRA for all tasks."""

    network: Recognizer
    tasks: Mapping[str, DenseTask]

    def __post_init__(self) -> None:
        spec = self.network.network.spec
        for name, found in zip(spec.tasks, spec.outputs, strict=True):
            if found != self.tasks[name].outputs:
                raise IcmError(
                    f"the downstream network predicts {found} channels of {name}, its labels have "
                    f"{self.tasks[name].outputs}; take a network that was trained on this data set"
                )

    @property
    def params(self) -> Params:
        return self.network.params

    @property
    def weights(self) -> Mapping[str, float]:
        return {name: task.weight for name, task in self.tasks.items()}

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.tasks)

    def losses(
        self, params: Params, pictures: Pictures, x: Float[Array, "b h w 3"], batch: Batch
    ) -> dict[str, Array]:
        """One pass for all tasks: a task sees its own pictures and runs its own updates and head alone."""
        folded = self.network.preprocessing.normalise(
            jnp.concatenate([pictures[name] for name in self.tasks])
        )
        found = self.network.network.apply({"params": params}, folded, False, True)
        return {name: task.loss(found[name], batch[name]) for name, task in self.tasks.items()}


@dataclass(frozen=True)
class TeachersConfig:
    """A published network for each task, which teaches what it sees in the uncompressed photo.

    Attributes:
        weights: a folder of them all, or a file or folder for each task; () looks where `ICM_WEIGHTS` says;
            ("random",) draws weights.
    """

    weights: tuple[str, ...] = ()

    def build(self, tasks: Sequence[str], dataset: str) -> Downstream:
        """See `DownstreamSpec.build`."""
        if len(self.weights) not in (0, 1, len(tasks)):
            raise IcmError(
                f"downstream.weights names {len(self.weights)} places for {len(tasks)} tasks; give one, or one a task"
            )
        places = self.weights if len(self.weights) == len(tasks) else (*self.weights, "")[:1] * len(tasks)
        chosen = {task: teacher_task(task) for task in tasks}
        networks = {
            task: frozen_network(chosen[task].network, place)
            for task, place in zip(tasks, places, strict=True)
        }
        return Taught(networks, chosen)


@dataclass(frozen=True)
class Taught:
    """A network for each task."""

    networks: Mapping[str, Recognizer]
    tasks: Mapping[str, TeacherTask]

    @property
    def params(self) -> Params:
        return {name: network.params for name, network in self.networks.items()}

    @property
    def weights(self) -> Mapping[str, float]:
        return {name: task.weight for name, task in self.tasks.items()}

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    def losses(
        self, params: Params, pictures: Pictures, x: Float[Array, "b h w 3"], batch: Batch
    ) -> dict[str, Array]:
        """Each network's answer to its task's pictures beside that to the photos."""
        found = {}
        for name, task in self.tasks.items():
            network = dataclasses.replace(self.networks[name], params=params[name])
            wanted = jax.lax.stop_gradient(network.outputs(x))
            found[name] = task.loss(network, network.outputs(pictures[name]), wanted)
        return found


KINDS: dict[str, type[Any]] = {"mtlora": MtloraConfig, "teachers": TeachersConfig}


def read_downstream(values: Mapping[str, Any]) -> DownstreamSpec:
    """The section `downstream` of a config: `name` "mtlora" (by default) or "teachers", and the fields of that kind.

    Raises:
        IcmError: unknown name or field.
    """
    spec: DownstreamSpec = plain_values.to_spec({"name": "mtlora", **values}, KINDS, "downstream")
    return spec
