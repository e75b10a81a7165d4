"""MTLoRA (Agiza et al., CVPR 2024): dense predictions for several tasks from one Swin in a single pass.

    image ─► Swin with LoRA for all tasks ──┬────────────┬────────────┬────────────┐ shared stream
             last block of every stage:     ├─ task      ├─ task      ├─ task      ├─ task: LoRA of its own after
                                            ▼            ▼            ▼            ▼       the attention
    head of a task:                       reduce       reduce       reduce       reduce ─► prediction

In the shared stream y = x W + b + 4 · (x A) B. A task adds the update of its own stream to the product of the shared
one, y_t = x W + b + 4 · (x_t A_t) B_t ("matrix" mode), so that tasks cost no products with W.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax import paths
from icm_jax.adapters import low_rank
from icm_jax.adapters.low_rank import LowRank, LowRankSpec
from icm_jax.errors import IcmError
from icm_jax.layers.batch_norm import BatchNorm
from icm_jax.layers.dense import matmul
from icm_jax.layers.resize import aligned_size, bilinear
from icm_jax.recognizers.layers import Conv, FrozenBatchNorm, map_size
from icm_jax.recognizers.preprocessing import Preprocessing
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.swin import Swin, SwinSpec

PREPROCESSING = Preprocessing()
SWIN_T = SwinSpec(norm=False, classes=0)
SCALE = 4.0  # of all updates in the published configs; checkpoints do not hold it
SHARED_LAYERS = (r"layer\d+_block\d+/(attn/(qkv|proj)|mlp/fc[12])/kernel",)


@dataclass(frozen=True)
class MTLoRASpec:
    """Sizes; the defaults are `mtlora_tiny_448_r64_scale4_pertask` for PASCAL-Context.

    Attributes:
        tasks: their names, no two equal.
        outputs: channels of each task's prediction.
        shared_rank: of the updates that all tasks share.
        task_ranks: of each task's own.
        dropout: share of inputs that the shared updates do not see in training.
        channels: what a head reduces the maps of the stages to.
        hidden: channels of a head.
        size_mode: "pad" takes images as they are; "resize448" (or another number) makes squares of them, which a
            network wants that was trained on that size alone. Predictions have the size of the images.
    """

    tasks: tuple[str, ...] = ("human_parts", "normals", "sal", "semseg")
    outputs: tuple[int, ...] = (7, 3, 1, 21)
    swin: SwinSpec = SWIN_T
    shared_rank: int = 64
    task_ranks: tuple[int, ...] = (4, 4, 4, 4)
    dropout: float = 0.05
    channels: tuple[int, ...] = (18, 36, 72, 144)
    hidden: int = 1080
    size_mode: str = "pad"

    def __post_init__(self) -> None:
        count = len(self.tasks)
        if not count or len(set(self.tasks)) != count:
            raise IcmError(f"tasks={self.tasks}; name one task or more, each once")
        if not count == len(self.outputs) == len(self.task_ranks):
            raise IcmError(
                f"{count} tasks, {len(self.outputs)} outputs and {len(self.task_ranks)} task_ranks; give each task one"
            )
        if len(self.channels) != len(self.swin.depths):
            raise IcmError(
                f"channels={self.channels} for {len(self.swin.depths)} stages; give each stage one"
            )
        if not re.fullmatch(r"pad|resize[1-9]\d*", self.size_mode):
            raise IcmError(
                f"size_mode={self.size_mode!r}; choose 'pad' or 'resize448' (any number of pixels)"
            )

    @property
    def size(self) -> int:
        """The side of the squares that images become; 0 where they keep their size."""
        return int(self.size_mode.removeprefix("resize")) if self.size_mode != "pad" else 0

    def shared(self, train: bool = False) -> LowRankSpec:
        """The updates that all tasks share: of every linear layer of every block."""
        dropout = self.dropout if train else 0.0
        return LowRankSpec(self.shared_rank, SCALE * self.shared_rank, dropout, False, SHARED_LAYERS)

    def own(self, rank: int) -> LowRankSpec:
        """One task's updates: in the last block of each stage, behind the attention."""
        ends = "|".join(f"layer{i}_block{depth - 1}" for i, depth in enumerate(self.swin.depths))
        return LowRankSpec(rank, SCALE * rank, 0.0, False, (rf"({ends})/(attn/proj|mlp/fc[12])/kernel",))


@partial(jax.tree_util.register_dataclass, data_fields=("adapters",), meta_fields=("copies",))
@dataclass(frozen=True)
class Streams:
    """Adapters of one Dense whose batch is `copies` of one batch: first the shared stream, then those of the tasks."""

    adapters: tuple[LowRank, ...]
    copies: int

    @property
    def dropout(self) -> float:
        """Of the shared stream; tasks drop nothing."""
        return self.adapters[0].dropout

    def __call__(
        self, x: Float[Array, "b ... c"], kernel: Float[Array, "c d"], key: Array | None
    ) -> Float[Array, "b ... d"]:
        """The product of the shared stream with the kernel, and to it each stream's own update."""
        (first, *others), (shared, *tasks) = self.adapters, self.split(x)
        y = matmul(shared, kernel.astype(x.dtype))
        updates = [adapter.update(stream) for adapter, stream in zip(others, tasks, strict=True)]
        of_tasks = jnp.tile(y, (self.copies - 1,) + (1,) * (y.ndim - 1)) + jnp.concatenate(updates)
        return jnp.concatenate([first(shared, kernel, key), of_tasks])

    def split(self, x: Float[Array, "b ..."]) -> list[Array]:
        """The streams of a batch."""
        return split_streams(x, self.copies, len(self.adapters) - 1)


class Head(nn.Module):
    """Maps of all stages, reduced, enlarged to the first and joined; 1×1 convolution, norm, ReLU, 1×1 convolution.

    With `frozen` the norm's statistics are parameters, else the collection "batch_stats".
    """

    channels: tuple[int, ...]
    hidden: int
    outputs: int
    frozen: bool

    @nn.compact
    def __call__(self, maps: list[Float[Array, "b h w c"]], train: bool = False) -> Float[Array, "b h w o"]:
        size = map_size(maps[0])
        reduced = [
            bilinear(Conv(channels, 1, name=f"reduce{i}")(one), size)
            for i, (one, channels) in enumerate(zip(maps, self.channels, strict=True))
        ]
        x = Conv(self.hidden, 1, use_bias=True, name="conv")(jnp.concatenate(reduced, axis=-1))
        x = FrozenBatchNorm(name="norm")(x) if self.frozen else BatchNorm(name="norm")(x, train)
        return Conv(self.outputs, 1, use_bias=True, name="predict")(nn.relu(x))


class MTLoRA(nn.Module):
    """Input normalised; result by name: each task's prediction, `head/TASK` before it is enlarged, and the maps of
    the stages after merging, `stage0` … of the shared stream and `stage0/TASK` … of the tasks.

    Parameters: `backbone` is a Swin as any other, `lora_shared` and `lora_tasks/TASK` lie beside it, `head_TASK`.
    With `frozen` statistics of norms are among them; a network in training has them as "batch_stats".
    """

    spec: MTLoRASpec = MTLoRASpec()
    frozen: bool = True

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w 3"], train: bool = False, own_images: bool = False
    ) -> dict[str, Array]:
        """With `own_images` the batch is the images of the first task, as many of the second, and so on.

        Then a task sees its own alone, which is a pass of the shared stream and one of all tasks together.

        Raises:
            IcmError: own images that are no multiple of the number of tasks.
        """
        spec, size = self.spec, map_size(x)
        count = len(spec.tasks)
        if own_images and len(x) % count:
            raise IcmError(f"{len(x)} images for {count} tasks; give each task as many as the others")
        copies = 2 if own_images else 1 + count
        stages = self._stages(self._sized(x), train, copies)
        taps: dict[str, Array] = {}
        maps: dict[str, list[Array]] = {task: [] for task in spec.tasks}
        for i, stage in enumerate(stages):
            shared, *tasks = split_streams(stage, copies, count)
            taps[f"stage{i}"] = shared
            for task, stream in zip(spec.tasks, tasks, strict=True):
                taps[f"stage{i}/{task}"] = stream
                maps[task].append(stream)
        for task, outputs in zip(spec.tasks, spec.outputs, strict=True):
            head = Head(spec.channels, spec.hidden, outputs, self.frozen, name=f"head_{task}")
            taps[f"head/{task}"] = head(maps[task], train)
            taps[task] = self._enlarged(taps[f"head/{task}"], size)
        return taps

    def _stages(self, x: Float[Array, "b h w 3"], train: bool, copies: int) -> list[Array]:
        """The maps of all stages after merging, of all streams, one after the other along the batch."""
        spec = self.spec
        # The backbone runs as a function of its parameters: its adapters are parameters of this module.
        swin = Swin(spec.swin, parent=None)
        base = self._tree("backbone", lambda key: swin.init(key, x)["params"])
        shared = self._tree("lora_shared", lambda key: low_rank.init(key, spec.shared(), base))
        tasks = self._tree("lora_tasks", lambda key: self._task_updates(key, base))
        rngs = {name: self.make_rng(name) for name in ("dropout", "drop_path")} if train else {}
        adapters = self._bound(shared, tasks, train, copies)
        taps = swin.apply({"params": base, "adapters": adapters}, x, train, copies, rngs=rngs)
        return [taps.get(f"merged{i}", taps[f"layer{i}"]) for i in range(len(spec.swin.depths))]

    def _tree(self, name: str, init: Any) -> Any:
        """A tree of parameters. `param` alone would trace `init` at every call, to compare shapes."""
        known = self.has_variable("params", name)
        return self.get_variable("params", name) if known else self.param(name, init)

    def _task_updates(self, key: Array, base: paths.Tree) -> dict[str, Any]:
        spec, keys = self.spec, jax.random.split(key, len(self.spec.tasks))
        return {
            task: low_rank.init(own_key, spec.own(rank), base)
            for own_key, task, rank in zip(keys, spec.tasks, spec.task_ranks, strict=True)
        }

    def _bound(
        self, shared: paths.Tree, tasks: Mapping[str, paths.Tree], train: bool, copies: int
    ) -> dict[str, Any]:
        """The collection "adapters": the shared one, and where tasks have their own, the streams of all."""
        spec = self.spec
        bound = paths.flatten(low_rank.bind(spec.shared(train), shared, train))
        own = [
            paths.flatten(low_rank.bind(spec.own(rank), tasks[task]))
            for task, rank in zip(spec.tasks, spec.task_ranks, strict=True)
        ]
        streams = {path: Streams((bound[path], *(one[path] for one in own)), copies) for path in own[0]}
        return paths.unflatten(bound | streams)

    def _sized(self, x: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 3"]:
        if self.spec.size:
            return bilinear(x, (self.spec.size, self.spec.size))
        height, width = map_size(x)
        rows, columns = aligned_size(height, width, self.spec.swin.patch)
        return jnp.pad(x, ((0, 0), (0, rows - height), (0, columns - width), (0, 0)))

    def _enlarged(self, x: Float[Array, "b h w o"], size: tuple[int, int]) -> Float[Array, "b h2 w2 o"]:
        """A prediction of the size of the image."""
        reached = size if self.spec.size else aligned_size(*size, self.spec.swin.patch)
        return bilinear(x, reached)[:, : size[0], : size[1]]


def of_tasks(recognizer: Recognizer, tasks: Sequence[str]) -> Recognizer:
    """The network with these of its tasks alone, in this order; no other part of it is kept.

    Raises:
        IcmError: a task that it has not.
    """
    spec = recognizer.network.spec
    if unknown := [task for task in tasks if task not in spec.tasks]:
        raise IcmError(
            f"the downstream network has no head of {unknown[0]!r}, its tasks are {', '.join(spec.tasks)}; "
            "choose of them, or give another network"
        )
    at = [spec.tasks.index(task) for task in tasks]
    outputs, ranks = (tuple(values[i] for i in at) for values in (spec.outputs, spec.task_ranks))
    params = {name: recognizer.params[name] for name in ("backbone", "lora_shared")}
    params["lora_tasks"] = {task: recognizer.params["lora_tasks"][task] for task in tasks}
    params |= {f"head_{task}": recognizer.params[f"head_{task}"] for task in tasks}
    network = MTLoRA(replace(spec, tasks=tuple(tasks), outputs=outputs, task_ranks=ranks))
    return replace(recognizer, network=network, params=params)


def split_streams(x: Float[Array, "b ..."], copies: int, tasks: int) -> list[Array]:
    """The shared stream and that of every task, from a batch that is `copies` of one batch."""
    shared = len(x) // copies
    return [x[:shared], *jnp.split(x[shared:], tasks)]
