"""All-in-One transfer: one stream, one decoding, a picture for every task (FE adaptors, TAM, MSF, heads).

    encoder   g_a stacks at H/2, H/4, H/8, each followed by one SFMA
    decoder   at H/8, H/4, H/2:   features ─► an SFMA a task ─► aggregation ─► shared ─► next stage of g_s
                                                                    └► task features T[task][scale]
              shared picture = g_s(…)
              picture of a task = shared picture + head(T[task] at H/2 + fusion of all scales of T[task])

Heads start at zero: until they are trained every task sees the shared picture. A task that is added to a trained
adapter is its guest: it takes the shared features and gives none, so that all else decodes as before, bit for bit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax import paths
from icm_jax.adapters.multi_scale_fusion import MultiScaleFusion
from icm_jax.adapters.sfma import ENCODER_PLACES, InsertedSfmas, Sfma, SfmaSpec
from icm_jax.adapters.task_aggregation import TaskAggregation
from icm_jax.errors import IcmError
from icm_jax.layers.conv import Conv, Deconv
from icm_jax.layers.pixel_shuffle import pixel_shuffle
from icm_jax.layers.resize import bilinear
from icm_jax.models.hooks import Adapter, Hooks, Transform
from icm_jax.models.tic import TICSpec
from icm_jax.plain_values import ADDED_LATER

RESERVED = ("shared", "human", "all")  # what users ask for beside tasks
# Modules of g_s after which the adaptors stand, from H/8 to H/2.
DECODER_PLACES = {"after": ("stb2", "stb4", "stb6"), "before": ("deconv1", "deconv3", "deconv5")}


@dataclass(frozen=True)
class AllInOneSpec:
    """One adapter for several tasks. Defaults reproduce the sizes and costs that the paper prints.

    Attributes:
        tasks: their names; pictures come in this order, after the shared one.
        guests: tasks that were added to a trained adapter; their pictures come last. See `with_guests`.
        middle: channels inside every SFMA.
        zero_init: SFMAs start as the identity.
        decoder_adaptor_position: "after" or "before" the stack of each decoder stage.
        tam_hidden, softmax_axis, phi: see `TaskAggregation`; with phi "none" there is no aggregation: the mean over
            tasks goes on along the main path, and tasks learn nothing of each other.
        msf_width, msf_window, msf_axis: see `MultiScaleFusion`; with msf_axis "none" heads see the finest scale alone.
        per_task_weights: an own fusion for every task; else all share one.
        head: "pixel_shuffle" (a convolution 3×3 to 12 channels) or "own_deconv" (5×5, as the last one of g_s).
    """

    tasks: tuple[str, ...] = ("semseg", "human_parts", "sal", "normals")
    middle: int = 32
    zero_init: bool = False
    decoder_adaptor_position: str = "after"
    tam_hidden: int = 64
    softmax_axis: str = "task"
    phi: str = "pooled"
    msf_width: int = 32
    msf_window: int = 16
    msf_axis: str = "window"
    per_task_weights: bool = False
    head: str = "pixel_shuffle"
    guests: tuple[str, ...] = field(default=(), metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        names = (*RESERVED, *self.tasks, *self.guests)
        if not self.tasks or len(set(names)) != len(names):
            raise IcmError(
                f"tasks={self.tasks} and guests={self.guests} must name at least one task, each once, "
                f"and none {' or '.join(RESERVED)}"
            )
        for name, choices in (
            ("decoder_adaptor_position", tuple(DECODER_PLACES)),
            ("softmax_axis", ("task", "channel")),
            ("phi", ("pooled", "pixel", "none")),
            ("msf_axis", ("window", "channel", "none")),
            ("head", ("pixel_shuffle", "own_deconv")),
        ):
            if getattr(self, name) not in choices:
                raise IcmError(
                    f"{name}={getattr(self, name)!r} is unknown; choose one of {', '.join(choices)}"
                )

    @property
    def input_channels(self) -> int:
        """RGB."""
        return 3

    @property
    def pictures(self) -> tuple[str, ...]:
        """The shared picture and one a task."""
        return ("shared", *self.all_tasks)

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """Those that share features, then their guests."""
        return (*self.tasks, *self.guests)

    def build(self, base: TICSpec) -> Adapter:
        """See `AdapterSpec.build`. Fits any base."""
        return AllInOneAdapter(self)


class AllInOneAdapter(Adapter):
    """The adapter's two sides; the decoder gives three channels a picture."""

    spec: AllInOneSpec

    def setup(self) -> None:
        self.g_a = InsertedSfmas(ENCODER_PLACES, self.spec.middle, self.spec.zero_init)
        self.g_s = TaskDecoder(self.spec)

    def analyse(self, g_a: Transform, x: Float[Array, "b h w 3"], train: bool) -> Float[Array, "b hy wy m"]:
        """See `Adapter.analyse`."""
        return g_a(x, train, Hooks(after=self.g_a))

    def synthesise(
        self, g_s: Transform, y_hat: Float[Array, "b hy wy m"], train: bool
    ) -> Float[Array, "b h w d"]:
        """The shared picture, then that of each task, side by side in the channels."""
        scales: list[TaskFeatures] = []  # coarse to fine

        def after(place: str, x: Array) -> Array:
            if place not in DECODER_PLACES[self.spec.decoder_adaptor_position]:
                return x
            shared, features = self.g_s.aggregate(place, x)
            scales.append(features)
            return shared

        shared = g_s(y_hat, train, Hooks(after=after))
        return jnp.concatenate([shared, *self.g_s.pictures(shared, scales)], axis=-1)


class TaskFeatures(NamedTuple):
    """Features T of every task at one scale: `common` to all plus the task's `own`; see `task_aggregation`."""

    common: Float[Array, "b h w c"]
    own: Sequence[Float[Array, "b h w c"]]

    def of(self, task: int) -> Float[Array, "b h w c"]:
        """Those of one task."""
        return self.own[task] + self.common

    def resized(self, task: int, size: tuple[int, int]) -> Float[Array, "b h2 w2 c"]:
        """Those of one task at another size."""
        return bilinear(self.own[task], size) + bilinear(self.common, size)


class TaskDecoder(nn.Module):
    """What the decoder gains: adaptors and an aggregation a scale, fusion and a head a task."""

    spec: AllInOneSpec

    def setup(self) -> None:
        spec, tasks = self.spec, self.spec.all_tasks
        places = DECODER_PLACES[spec.decoder_adaptor_position]
        self.adaptors = {
            place: {task: Sfma(spec.middle, spec.zero_init) for task in tasks} for place in places
        }
        if spec.phi != "none":
            self.tam = {
                place: TaskAggregation(spec.tam_hidden, spec.softmax_axis, spec.phi) for place in places
            }
        if spec.msf_axis != "none":
            fusions = tasks if spec.per_task_weights else ("shared",)
            self.msf = {
                name: MultiScaleFusion(spec.msf_width, spec.msf_window, spec.msf_axis) for name in fusions
            }
        shuffled = spec.head == "pixel_shuffle"
        self.head = {
            task: Conv(12, 3, initializer="zeros") if shuffled else Deconv(3, 5, "zeros") for task in tasks
        }

    def aggregate(
        self, place: str, x: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w c"], TaskFeatures]:
        """Shared features and those of every task at one scale."""
        changes = [self.adaptors[place][task].change(x) for task in self.spec.all_tasks]
        own = [change.features() for change in changes]
        n = len(self.spec.tasks)
        if self.spec.phi == "none":
            return x + sum(own[:n]) / n, TaskFeatures(x, own)
        shared = self.tam[place](x, own[:n], [change.mean() for change in changes[:n]])
        return shared, TaskFeatures(x + shared, own)

    def pictures(
        self, shared: Float[Array, "b h w 3"], scales: Sequence[TaskFeatures]
    ) -> list[Float[Array, "b h w 3"]]:
        """The picture of every task from the shared one and the task's features, coarse to fine."""
        tasks = enumerate(self.spec.all_tasks)
        residuals = [self.head[name](self.fuse(task, name, scales)) for task, name in tasks]
        if self.spec.head == "pixel_shuffle":
            residuals = [pixel_shuffle(residual) for residual in residuals]
        return [shared + residual for residual in residuals]

    def fuse(self, task: int, name: str, scales: Sequence[TaskFeatures]) -> Float[Array, "b h2 w2 c"]:
        """A task's finest features plus what all its scales add."""
        fine = scales[-1].of(task)
        if self.spec.msf_axis == "none":
            return fine
        grid = scales[0].common.shape[1], scales[0].common.shape[2]
        msf = self.msf[name if self.spec.per_task_weights else "shared"]
        return fine + msf(*(scale.resized(task, grid) for scale in scales), fine.shape[1:3])


def with_guests(spec: AllInOneSpec, guests: tuple[str, ...]) -> AllInOneSpec:
    """The specification of a trained adapter with more tasks. What `paths_of` names is new, all else stays."""
    return replace(spec, guests=(*spec.guests, *guests))


def paths_of(tasks: Sequence[str]) -> str:
    """Pattern of the paths of an adapter's variables that belong to these tasks alone."""
    return rf"params/g_s/(adaptors_\w+|msf|head)_({'|'.join(map(re.escape, tasks))})/.*"


def takes_sfmas(spec: AllInOneSpec, other: object) -> bool:
    """Whether `other` is AdaptICMH with SFMAs of the same width in the same places, which tasks can start from."""
    return (
        isinstance(other, SfmaSpec)
        and spec.decoder_adaptor_position == "before"
        and (spec.middle, spec.zero_init) == (other.middle, other.zero_init)
    )


def from_sfmas(spec: AllInOneSpec, variables: Mapping[str, Any]) -> dict[str, Any]:
    """{path: variable} of what AdaptICMH's variables are in All-in-One: the encoder's SFMAs, and those of every task.

    All else being new, each task's picture is the one that the other adapter decodes to: the aggregation starts with
    equal weights, and heads at zero.
    """
    known: dict[str, Any] = {}
    for path, leaf in paths.flatten(variables).items():
        _, side, place, *rest = path.split("/")
        names = [place] if side == "g_a" else [f"adaptors_{place}_{task}" for task in spec.all_tasks]
        known |= {"/".join(("params", side, name, *rest)): leaf for name in names}
    return known
