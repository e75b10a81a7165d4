"""Steering a frozen codec to a machine task: an adapter, or the codec itself, trained on what a frozen network sees.

    x ─► codec + adapter ─► x_hat ─► network ─► features
    x ──────────────────────────────► network ─► features      loss = distortion · d + rate · bpp, d = mean MSE

No labels are needed: the target is the network's own view of the uncompressed photo (Kao et al., ICCV 2023,
section 4; AdaptICMH and All-in-One train against the same kind of loss).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.registry import adapted, adapter_spec, initial_variables
from icm_jax.codec import Codec
from icm_jax.errors import IcmError
from icm_jax.models.hooks import AdapterSpec
from icm_jax.models.registry import build, model_name
from icm_jax.models.tic import TICSpec
from icm_jax.objectives.base_codec import CropConfig, estimated_bits
from icm_jax.pretrained import store
from icm_jax.recognizers.recognizer import Recognizer
from icm_jax.recognizers.registry import RECOGNIZERS, load_recognizer, with_params
from icm_jax.train.config import RunConfig
from icm_jax.train.export import make_codec
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
        drop_path: keep the frozen codec's stochastic depth on, as published; off is less noisy.
    """

    base: str = "tic-lite"
    quality: int = 4
    recognizer: str = "mobilenet-v2"
    weights: str = ""
    taps: tuple[str, ...] = ()
    distortion: float = 1.0
    rate: float = 1.0
    drop_path: bool = True

    def __post_init__(self) -> None:
        if min(self.distortion, self.rate) < 0:
            raise IcmError(
                f"transfer.distortion={self.distortion} and transfer.rate={self.rate} must not be negative"
            )


def read_adapter(values: Mapping[str, Any]) -> AdapterSpec | None:
    """The section `adapter`: a name and its fields; an empty one trains the codec itself."""
    return adapter_spec(values) if values else None


SECTIONS: dict[str, Callable[..., Any]] = {
    "transfer": TransferConfig,
    "adapter": read_adapter,
    "data": CropConfig,
}


def transfer(
    run: RunConfig, transfer: TransferConfig, adapter: AdapterSpec | None, data: CropConfig
) -> Objective:
    """The objective of a config with the sections above."""
    steered = _Steered(run, transfer, adapter, data)
    has_statistics = any(kind != "params" for kind in steered.fresh_kinds())
    return Objective(
        initial_params=steered.initial_params,
        loss=steered.loss,
        batches=data.batches,
        batch_size=data.batch_size,
        export=steered.export,
        # Without an adapter the codec itself is trained, but for its prior's quantiles, solved for at export.
        trainable=("adapter/params/.*",) if adapter is not None else ("base/(?!.*quantiles).*",),
        statistics=("adapter/batch_stats/.*",) if has_statistics else (),
    )


@dataclass(frozen=True)
class _Steered:
    run: RunConfig
    config: TransferConfig
    adapter: AdapterSpec | None
    data: CropConfig
    base: store.StoredCodec = field(init=False)
    spec: TICSpec = field(init=False)
    recognizer: Recognizer = field(init=False)
    model: Any = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        folder = Path(config.base).is_dir()
        base = Codec.load(config.base, None if folder else config.quality).stored
        if not isinstance(base.spec, TICSpec):
            raise IcmError(
                f"transfer.base={config.base} is a {model_name(base.spec)!r}; only 'tic' codecs can be steered"
            )
        spec = base.spec if config.drop_path else dataclasses.replace(base.spec, drop_path=0.0)
        if self.adapter is None and self.run.init_from:
            raise IcmError(
                "init_from is not used by objective 'transfer': transfer.base names the codec it starts from"
            )
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "spec", spec)
        object.__setattr__(
            self, "recognizer", frozen_network(config.recognizer, config.weights, self.data.crop)
        )
        object.__setattr__(self, "model", build(spec, self.adapter))

    def fresh_kinds(self) -> set[str]:
        """Collections of the adapter's variables."""
        if self.adapter is None:
            return set()
        return set(jax.eval_shape(partial(initial_variables, self.adapter, self.spec), jax.random.key(0)))

    def initial_params(self, key: Array) -> dict[str, Any]:
        tree = {
            "base": jax.tree.map(jnp.asarray, dict(self.base.params)),
            "recognizer": self.recognizer.params,
        }
        if self.adapter is not None:
            tree["adapter"] = initial_variables(self.adapter, self.spec, key)
        return tree

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        x = batch["image"].astype(jnp.float32) / 255.0
        noise, drop_path = jax.random.split(key)
        latents, changed = self.model.apply(
            self._variables(params),
            x,
            train=True,
            rngs={"noise": noise, "drop_path": drop_path},
            mutable=["batch_stats"],
        )
        network = self._network(params)
        taps = self.config.taps or network.taps
        seen, wanted = network.outputs(jnp.clip(latents.x_hat, 0.0, 1.0)), network.outputs(x)
        differences = [jnp.mean((seen[tap] - jax.lax.stop_gradient(wanted[tap])) ** 2) for tap in taps]
        distortion, bpp = jnp.mean(jnp.stack(differences)), estimated_bits(latents) / np.prod(x.shape[:3])
        metrics = {
            "distortion": distortion,
            "bpp": bpp,
            "psnr": -10.0 * jnp.log10(jnp.mean((latents.x_hat - x) ** 2)),
        }
        value = self.config.distortion * distortion + self.config.rate * bpp
        statistics = {"adapter": {"batch_stats": changed["batch_stats"]["adapter"]}} if changed else {}
        return Loss(value, metrics, statistics)

    def _variables(self, params: Params) -> dict[str, Any]:
        return adapted(params["base"], params.get("adapter", {}))

    def _network(self, params: Params) -> Recognizer:
        """The frozen network with the weights that the engine holds, so that no program has them as constants."""
        known = self.recognizer
        return Recognizer(
            params["recognizer"], known.name, known.network, known.preprocessing, known.taps, known.output
        )

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        """The adapter file, or the fine-tuned codec's folder."""
        facts = {**facts, "crop": self.data.crop, "batch_size": self.data.batch_size, **vars(self.config)}
        name, base = self.run.name, self.base
        if self.adapter is not None:
            made = adapter_store.make_adapter(
                name, self.config.recognizer, self.adapter, params["adapter"], base, {"training": facts}
            )
            adapter_store.save(made, folder / f"{name}.safetensors")
            return [folder / f"{name}.safetensors"]
        codec = make_codec(name, base.quality, base.lmbda, base.spec, params["base"], facts)
        store.save(codec, folder / f"q{base.quality}")
        return [folder / f"q{base.quality}"]


def frozen_network(name: str, weights: str, size: int) -> Recognizer:
    """A recognition network with its published weights, or random ones.

    Raises:
        IcmError: an unknown name, or the file is not there.
    """
    if weights != "random":
        return load_recognizer(name, weights or None)
    if name not in RECOGNIZERS:
        raise IcmError(f"recogniser {name!r} is unknown; choose one of {', '.join(RECOGNIZERS)}")
    network = RECOGNIZERS[name].network
    init = jax.jit(network.init)
    params = init(jax.random.key(0, impl="rbg"), jnp.zeros((1, size, size, 3)))["params"]
    return with_params(name, network, params)
