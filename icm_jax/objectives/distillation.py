"""A backbone that learns what a published network sees, of photos without labels: where no EVA-02 weights are at hand.

    photo ─┬─► enlarged ─► published network ─► a map of its features, brought to the grid of patches ─┐
           └─► backbone ─► tokens ─► layer norm, linear ─► prediction of them ──────────────────────► 1 − cosine

EVA-02 itself was pretrained so, to predict the features of a CLIP (Fang et al., section 2), of masked photos; here the
backbone sees all of a photo, and a network for classification is at hand more often than a CLIP.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.data.dense_sources import DenseSource, read_source, source_values
from icm_jax.errors import IcmError
from icm_jax.layers.dense import Dense
from icm_jax.layers.resize import bilinear
from icm_jax.layers.swiglu import layer_norm
from icm_jax.models.eva02 import EVA02, EVA02Spec, normalise
from icm_jax.objectives.held_out import held_out_means
from icm_jax.pretrained.dora_icm import BACKBONE_FILE, write_backbone
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.registry import DRAWN_AT, frozen_network
from icm_jax.tasks.losses import unit_vectors
from icm_jax.train.config import RunConfig, section
from icm_jax.train.objective import Batch, Loss, Objective, Params, Share


@dataclass(frozen=True)
class TeacherConfig:
    """Whose features are learned.

    Attributes:
        network: name of a published network.
        weights: its file or the folder that holds it; "" looks where `ICM_WEIGHTS` says; "random" draws weights, for
            trying a config without the file.
        tap: the output that is predicted, a map of features.
        enlarge: the network sees photos this many times as large as the backbone does, for maps finer than its stride.
    """

    network: str = "mobilenet-v2"
    weights: str = ""
    tap: str = "features.17"
    enlarge: int = 2

    def __post_init__(self) -> None:
        if self.enlarge < 1:
            raise IcmError(f"teacher.enlarge={self.enlarge} must be at least 1")


def read_backbone_spec(values: Mapping[str, Any]) -> EVA02Spec:
    """The section `backbone`: fields of `EVA02Spec`.

    Raises:
        IcmError: an unknown field, or impossible values.
    """
    spec: EVA02Spec = section("backbone", EVA02Spec, values)
    return spec


SECTIONS: dict[str, Callable[..., Any]] = {
    "backbone": read_backbone_spec,
    "teacher": TeacherConfig,
    "data": read_source,
}


def distillation(run: RunConfig, backbone: EVA02Spec, teacher: TeacherConfig, data: DenseSource) -> Objective:
    """The objective of a config with the sections above.

    Raises:
        IcmError: no weights, or an output that the network does not have or that is no map.
    """
    network = frozen_network(teacher.network, teacher.weights)
    channels = _channels(network, teacher.tap)
    trained = _Distillation(backbone, teacher, data, network, _Learner(backbone, channels))
    return Objective(
        initial_params=trained.initial_params,
        loss=trained.loss,
        batches=trained.batches,
        batch_size=data.batch_size,
        export=trained.export,
        validate=trained.validate,
        trainable=("model/.*",),
    )


def _channels(network: Recognizer, tap: str) -> int:
    picture = jax.ShapeDtypeStruct((1, DRAWN_AT, DRAWN_AT, 3), jnp.float32)
    outputs = jax.eval_shape(network.outputs, picture)
    maps = [name for name, value in outputs.items() if value.ndim == 4]
    if tap not in maps:
        raise IcmError(f"teacher.tap={tap!r} is no map of {network.name}; choose one of {', '.join(maps)}")
    return int(outputs[tap].shape[-1])


class _Learner(nn.Module):
    """The backbone, and a linear prediction of `channels` features at every patch."""

    spec: EVA02Spec
    channels: int

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"], train: bool = False) -> Float[Array, "b hp wp c"]:
        (tokens,) = EVA02(self.spec, name="backbone")(images, (self.spec.depth - 1,), train).maps
        return jnp.asarray(Dense(self.channels, name="head")(layer_norm(tokens, "norm")))


@dataclass(frozen=True)
class _Distillation:
    spec: EVA02Spec
    config: TeacherConfig
    data: DenseSource
    network: Recognizer
    learner: _Learner

    def initial_params(self, key: Array) -> dict[str, Any]:
        size = tuple(self.spec.patch * count for count in self.spec.grid)
        made = jax.jit(self.learner.init)(key, jnp.zeros((1, *size, 3)))
        return {"model": made["params"], "teacher": self.network.params}

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        return Loss(*self._judge(params, batch, train=True, rngs={"drop_path": key}))

    def _judge(self, params: Params, batch: Batch, **how: Any) -> tuple[Array, dict[str, Array]]:
        photos = batch["image"].astype(jnp.float32) / 255.0
        predicted = jnp.asarray(self.learner.apply({"params": params["model"]}, normalise(photos), **how))
        _, rows, columns, _ = predicted.shape
        wanted = self._features(params["teacher"], photos, (rows, columns))
        cosine = (unit_vectors(predicted) * unit_vectors(wanted)).sum(-1).mean()
        return 1 - cosine, {"cosine": cosine}

    def _features(
        self, params: Params, photos: Float[Array, "b h w 3"], grid: tuple[int, int]
    ) -> Float[Array, "b hp wp c"]:
        """What the network sees at every patch, less its mean over channels."""
        network = dataclasses.replace(self.network, params=params)
        height, width = (self.config.enlarge * size for size in photos.shape[1:3])
        maps = bilinear(network.outputs(bilinear(photos, (height, width)))[self.config.tap], grid)
        return jax.lax.stop_gradient(maps - maps.mean(-1, keepdims=True))

    def batches(self, seed: int, share: Share, first: int) -> Iterator[Batch]:
        return self.data.batches((), seed, (share.index, share.count), first)

    def validate(self, params: Params) -> dict[str, float]:
        """Loss and cosine, means over the held-out batches."""
        return held_out_means(partial(jax.jit(self._judge), params), self.data.held_out(()))

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """The backbone alone."""
        facts = {**facts, **dataclasses.asdict(self.config), "data": source_values(self.data)}
        file = folder / BACKBONE_FILE
        write_backbone(file, params["model"]["backbone"], facts)
        return [file]
