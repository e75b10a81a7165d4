"""Steering a frozen codec to a machine task: an adapter, or the codec itself, trained on what a frozen network sees.

    x ─► codec + adapter ─► x_hat ─► network ─► features
    x ──────────────────────────────► network ─► features      loss = distortion · d + rate · bpp, d = mean MSE

No labels are needed: the target is the network's own view of the uncompressed photo (Kao et al., ICCV 2023,
section 4; AdaptICMH and All-in-One train against the same kind of loss). Two baselines differ:

* channel selection decodes features, from which the network goes on: d is over them and the taps behind them;
* region-of-interest coding knows no features: d is the squared error of pixels, weighed by the network's quality map.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from icm_jax.adapters.channel_selection import ChannelSelectionSpec
from icm_jax.adapters.roi import RoiSpec, error_weight
from icm_jax.errors import IcmError
from icm_jax.models.hooks import AdapterSpec
from icm_jax.objectives.base_codec import CropConfig, estimated_bits
from icm_jax.objectives.steered import Steered, read_adapter, steered
from icm_jax.recognizers.quality_map import quality_map
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.registry import frozen_network
from icm_jax.train.config import RunConfig, one_of
from icm_jax.train.objective import Batch, Loss, Objective, Params


@dataclass(frozen=True)
class TransferConfig:
    """What is steered, by what it is judged, and how the two sides of the loss are weighed.

    Attributes:
        base: the frozen codec: a codec folder, or the name of an included codec.
        quality: rate of an included codec.
        recognizer: the frozen network, a name of `icm_jax.recognizers.registry`.
        weights: its published file or a folder that holds it; "" looks where `ICM_WEIGHTS` says; "random" draws
            them, for trying a config without the file.
        taps: outputs of the network that are compared; empty: those the registry names.
        distortion, rate: weights of the mean squared difference of the taps and of the bits a pixel.
        by_lmbda: the weight of the distortion is so many times the base's lmbda, so that one config serves all rates.
        drop_path: keep the frozen codec's stochastic depth on, as published; off is less noisy.
        decoder: what g_s is given in training, "noise" as published, or "rounded" latents (straight-through gradient;
            the rate sees noise in any case). A base that was trained on rounded ones has to be steered on them: else
            the adapter learns to remove the noise.
    """

    base: str = "tic-lite"
    quality: int = 4
    recognizer: str = "mobilenet-v2"
    weights: str = ""
    taps: tuple[str, ...] = ()
    distortion: float = 1.0
    rate: float = 1.0
    by_lmbda: bool = False
    drop_path: bool = True
    decoder: str = "noise"

    def __post_init__(self) -> None:
        one_of("transfer.decoder", self.decoder, ("noise", "rounded"))
        if min(self.distortion, self.rate) < 0:
            raise IcmError(
                f"transfer.distortion={self.distortion} and transfer.rate={self.rate} must not be negative"
            )


SECTIONS: dict[str, Callable[..., Any]] = {
    "transfer": TransferConfig,
    "adapter": read_adapter,
    "data": CropConfig,
}


def transfer(
    run: RunConfig, transfer: TransferConfig, adapter: AdapterSpec | None, data: CropConfig
) -> Objective:
    """The objective of a config with the sections above."""
    if adapter is None and run.init_from:
        raise IcmError(
            "init_from is not used by objective 'transfer': transfer.base names the codec it starts from"
        )
    codec = steered("transfer", transfer.base, transfer.quality, adapter, transfer.drop_path, run.init_from)
    network = frozen_network(transfer.recognizer, transfer.weights, data.crop)
    task = _Transfer(run.name, transfer, data, codec, network)
    return Objective(
        initial_params=task.initial_params,
        loss=task.loss,
        batches=data.batches,
        batch_size=data.batch_size,
        export=task.export,
        trainable=codec.trainable,
        statistics=codec.statistics,
    )


@dataclass(frozen=True)
class _Transfer:
    name: str
    config: TransferConfig
    data: CropConfig
    codec: Steered
    recognizer: Recognizer

    def __post_init__(self) -> None:
        if isinstance(self.codec.adapter, ChannelSelectionSpec):
            self._refuse_other_features(self.codec.adapter)

    def _refuse_other_features(self, adapter: ChannelSelectionSpec) -> None:
        network, crop = self.recognizer, self.data.crop
        image = jax.ShapeDtypeStruct((1, crop, crop, 3), jnp.float32)
        taps = jax.eval_shape(Recognizer.outputs, network, image)
        expected = (1, crop // 4, crop // 4, adapter.features)
        if adapter.tap not in taps or taps[adapter.tap].shape != expected:
            fitting = [name for name, map_ in taps.items() if map_.shape[1:3] == expected[1:3]]
            sizes = ", ".join(f"{name} ({taps[name].shape[-1]})" for name in fitting)
            raise IcmError(
                f"adapter.tap={adapter.tap!r} with adapter.features={adapter.features} is no map of "
                f"{network.name} at H/4; choose one of {sizes or 'another network'}"
            )
        jax.eval_shape(lambda maps: network.continued(adapter.tap, maps), taps[adapter.tap])

    def initial_params(self, key: Array) -> dict[str, Any]:
        return {
            **self.codec.fresh(key),
            "recognizer": self.recognizer.params,
            "distortion_weight": jnp.float32(self._distortion_weight),  # no constant: rates share a program
        }

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        x = batch["image"].astype(jnp.float32) / 255.0
        network, adapter = self._network(params), self.codec.adapter
        quality = quality_map(network, x) if isinstance(adapter, RoiSpec) else None
        seen = x if quality is None else jnp.concatenate([x, quality], -1)
        latents, statistics = self.codec.latents(params, seen, key, self.config.decoder == "rounded")
        metrics = {"bpp": estimated_bits(latents) / np.prod(x.shape[:3])}
        if isinstance(adapter, ChannelSelectionSpec):
            metrics["distortion"] = self._of_features(network, x, latents.x_hat, adapter.tap)
        else:
            squared = (latents.x_hat - x) ** 2
            metrics["psnr"] = -10.0 * jnp.log10(jnp.mean(squared))
            if quality is None:
                metrics["distortion"] = self._of_pictures(network, x, latents.x_hat)
            else:
                metrics["distortion"] = 255.0**2 * jnp.mean(error_weight(quality) * squared)
        value = params["distortion_weight"] * metrics["distortion"] + self.config.rate * metrics["bpp"]
        return Loss(value, metrics, statistics)

    @property
    def _distortion_weight(self) -> float:
        return self.config.distortion * (self.codec.base.lmbda if self.config.by_lmbda else 1.0)

    def _of_pictures(self, network: Recognizer, x: Array, x_hat: Array) -> Float[Array, ""]:
        """Mean squared difference of what the network sees in both pictures."""
        taps = self.config.taps or network.taps
        return _mean_difference(network.outputs(jnp.clip(x_hat, 0.0, 1.0)), network.outputs(x), taps)

    def _of_features(self, network: Recognizer, x: Array, features: Array, tap: str) -> Float[Array, ""]:
        """The same of decoded features and what the network makes of them, of what it sees in the picture."""
        seen = network.continued(tap, features)
        taps = (tap, *(other for other in self.config.taps or network.taps if other in seen and other != tap))
        return _mean_difference(seen, network.outputs(x), taps)

    def _network(self, params: Params) -> Recognizer:
        """The frozen network with the weights that the engine holds, so that no program has them as constants."""
        known = self.recognizer
        return Recognizer(
            params["recognizer"], known.name, known.network, known.preprocessing, known.taps, known.output
        )

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """The adapter file, or the fine-tuned codec's folder."""
        facts = {**facts, "crop": self.data.crop, "batch_size": self.data.batch_size, **vars(self.config)}
        return self.codec.export(self.name, self.config.recognizer, params, facts, folder)


def _mean_difference(
    seen: Mapping[str, Array], wanted: Mapping[str, Array], taps: Sequence[str]
) -> Float[Array, ""]:
    differences = [jnp.mean((seen[tap] - jax.lax.stop_gradient(wanted[tap])) ** 2) for tap in taps]
    return jnp.mean(jnp.stack(differences))
