"""Training a codec for people: rate and distortion of random crops; λ · 255² · MSE + bpp.

batch uint8 ─► [0, 1] ─► forward with noise ─► lmbda · 255² · MSE + bpp + auxiliary loss of the prior
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from icm_jax.data.crops import CUTS, crop_batches
from icm_jax.data.image_io import list_images, read_image
from icm_jax.errors import IcmError
from icm_jax.models import rate_family
from icm_jax.models.grow import grow
from icm_jax.models.latent_codec import Latents
from icm_jax.models.registry import ModelSpec, build, model_spec
from icm_jax.models.transplant import has_swin_stacks, transplant
from icm_jax.pretrained import store
from icm_jax.train.checkpoint import averaged_params
from icm_jax.train.config import RunConfig, refuse_unused
from icm_jax.train.evaluation import EvalConfig, evaluate
from icm_jax.train.export import export
from icm_jax.train.objective import Batch, Loss, Metrics, Objective, Params, Pictures, Share


@dataclass(frozen=True)
class RateConfig:
    """Rate–distortion weights; loss = lmbda · 255² · MSE + bpp. More than one trains a rate family.

    Attributes:
        lmbda: one weight a rate.
        first_quality: number of the first exported codec; the others follow in the order of `lmbda`.
        order: the rates that steps visit, by index, again and again; empty: one after the other.
        decoder: what the decoder is trained on, "noise" or "rounded" latents (straight-through gradient; the rate
            is always that of noisy ones). Rounding is what it meets in a stream, so it makes a good end of training.
    """

    lmbda: tuple[float, ...] = (0.0067,)
    first_quality: int = 1
    order: tuple[int, ...] = ()
    decoder: str = "noise"

    def __post_init__(self) -> None:
        if not self.lmbda or min(self.lmbda) <= 0:
            raise IcmError(f"rate.lmbda={self.lmbda} must list positive weights, such as (0.0067,)")
        if not all(0 <= rate < len(self.lmbda) for rate in self.order):
            raise IcmError(f"rate.order={self.order} must name rates 0 to {len(self.lmbda) - 1}")
        if self.decoder not in ("noise", "rounded"):
            raise IcmError(f"rate.decoder={self.decoder!r}; choose 'noise' or 'rounded'")
        refuse_unused("rate", self, "order", len(self.lmbda) > 1, "several rate.lmbda")


@dataclass(frozen=True)
class CropConfig:
    """Where the photos come from and how they are cut.

    Attributes:
        cut: "flips" (random squares, flipped both ways), "mirror" (left-right only), or "centre" (short side resized
            to `crop`, the square in the middle; no augmentation).
    """

    folder: str = ""
    crop: int = 256
    batch_size: int = 16
    threads: int = 2
    cut: str = "flips"

    def __post_init__(self) -> None:
        if self.crop % 64:
            raise IcmError(f"data.crop={self.crop} must be a multiple of 64, the stride of z")
        if self.batch_size < 1:
            raise IcmError(f"data.batch_size={self.batch_size} must be at least 1")
        if self.cut not in CUTS:
            raise IcmError(f"data.cut={self.cut!r} is unknown; choose one of {', '.join(CUTS)}")

    def batches(self, seed: int, share: Share, first: int) -> Iterator[Batch]:
        """Batches of crops, as an objective gives them.

        Raises:
            IcmError: no folder is named, or it holds no photos.
        """
        if not self.folder:
            raise IcmError("data.folder is not set; name a folder of photos: --config.data.folder=PHOTOS")
        block = (share.index, share.count)
        return crop_batches(
            self.folder, self.crop, self.batch_size, seed, self.threads, block, first, self.cut
        )


SECTIONS: dict[str, Callable[..., Any]] = {
    "model": model_spec,
    "rate": RateConfig,
    "data": CropConfig,
    "eval": EvalConfig,
}


def base_codec(
    run: RunConfig, model: ModelSpec, rate: RateConfig, data: CropConfig, eval: EvalConfig
) -> Objective:
    """The objective of a config with the sections above."""
    codec = _Codec(run, model, rate, data, eval)
    return Objective(
        initial_params=codec.initial_params,
        loss=codec.loss,
        batches=data.batches,
        batch_size=data.batch_size,
        export=codec.export,
        evaluate=partial(evaluate, config=eval) if eval.folder else None,
        validate=codec.validate if eval.folder else None,
        show=codec.show if eval.folder else None,
    )


def estimated_bits(latents: Latents) -> Float[Array, ""]:
    """Bits of both latents, as their likelihoods say."""
    return -jnp.log2(latents.y_likelihoods).sum() - jnp.log2(latents.z_likelihoods).sum()


def rate_distortion(latents: Latents, x: Float[Array, "b h w 3"], lmbda: float | Array) -> Metrics:
    """loss = lmbda · 255² · mse + bpp; mse on the unclamped output, bpp over the pixels of x, both latents."""
    pixels = x.shape[0] * x.shape[1] * x.shape[2]
    bpp = estimated_bits(latents) / pixels
    mse = jnp.mean((latents.x_hat - x) ** 2)
    return {"loss": lmbda * 255.0**2 * mse + bpp, "mse": mse, "bpp": bpp}


@dataclass(frozen=True)
class _Codec:
    run: RunConfig
    spec: ModelSpec
    rate: RateConfig
    data: CropConfig
    eval: EvalConfig
    model: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", build(self.spec))

    def initial_params(self, key: Array) -> dict[str, Any]:
        image = jnp.zeros((1, 64, 64, 3))
        params = jax.jit(self.model.init)(key, image)["params"]
        rates = len(self.rate.lmbda)
        fresh = params if rates == 1 else rate_family.expand(params, rates)
        if not self.run.init_from:
            return fresh
        trained = self._trained(Path(self.run.init_from))
        new_stacks = has_swin_stacks(fresh) and not has_swin_stacks(trained)
        return (transplant if new_stacks else grow)(trained, fresh)

    def _trained(self, source: Path) -> Any:
        """Parameters to start from: one codec's, those of a folder `q1`, `q2`, … or the averaged ones of a run."""
        rates = len(self.rate.lmbda)
        qualities = range(self.rate.first_quality, self.rate.first_quality + rates)
        if (source / "codec.json").exists():
            params = store.load(source).params
            return params if rates == 1 else rate_family.expand(params, rates)
        if all((source / f"q{quality}" / "codec.json").exists() for quality in qualities):
            members = [store.load(source / f"q{quality}").params for quality in qualities]
            return members[0] if rates == 1 else rate_family.join(members)
        return averaged_params(source)

    def member(self, params: Params, rate: int | Array) -> Params:
        """Parameters of one rate."""
        return rate_family.fold(params, rate) if len(self.rate.lmbda) > 1 else params

    def loss(self, params: Params, batch: Batch, step: Array, key: Array) -> Loss:
        """One λ a step, so that kernels are folded once a batch: rate order[step mod len(order)]."""
        x = batch["image"].astype(jnp.float32) / 255.0
        order = jnp.array(self.rate.order or range(len(self.rate.lmbda)))
        rate = order[step % len(order)]
        variables = {"params": self.member(params, rate)}
        noise, drop_path = jax.random.split(key)
        rngs = {"noise": noise, "drop_path": drop_path}
        rounded = self.rate.decoder == "rounded"
        latents = self.model.apply(variables, x, train=True, rounded=rounded, rngs=rngs)
        metrics = rate_distortion(latents, x, jnp.array(self.rate.lmbda)[rate])
        loss = metrics.pop("loss")
        auxiliary = self.model.apply(variables, method="auxiliary_loss")
        metrics |= {"psnr": -10.0 * jnp.log10(metrics["mse"]), "rd_loss": loss, "aux_loss": auxiliary}
        return Loss(loss + auxiliary, metrics)

    def export(self, params: Params, facts: Mapping[str, Any], folder: Path) -> list[Path]:
        facts = {**facts, "batch_size": self.data.batch_size, "crop": self.data.crop}
        members = [self.member(params, i) for i in range(len(self.rate.lmbda))]
        return export(
            self.run.name, self.spec, self.rate.lmbda, self.rate.first_quality, members, facts, folder
        )

    def validate(self, params: Params) -> dict[str, float]:
        """Estimated rate and distortion of rounded latents, mean over held-out crops and rates."""
        x, totals = self._held_out(), []
        for rate, lmbda in enumerate(self.rate.lmbda):
            latents = _forward(self.model, self.member(params, rate), x)
            metrics = rate_distortion(latents, x, lmbda)
            totals.append([float(metrics[name]) for name in ("loss", "mse", "bpp")])
        loss, mse, bpp = np.mean(totals, axis=0)
        psnr = float(np.mean([-10.0 * np.log10(total[1]) for total in totals]))
        return {"loss": float(loss), "mse": float(mse), "estimated_bpp": float(bpp), "psnr": psnr}

    def show(self, params: Params) -> Pictures:
        """Decoded crops and where their bits went, at the middle rate; bits a channel of y."""
        x = self._held_out()
        latents = _forward(self.model, self.member(params, len(self.rate.lmbda) // 2), x)
        bits = np.asarray(-jnp.log2(latents.y_likelihoods))
        maps = bits.sum(-1, keepdims=True)
        images = {
            "original": np.asarray(x[0]),
            "decoded": np.clip(np.asarray(latents.x_hat[0]), 0.0, 1.0),
            "bits": np.repeat(maps[0] / max(maps[0].max(), 1e-9), 3, axis=-1),
        }
        return Pictures(
            images, {"bits_per_y_channel": bits.sum((0, 1, 2)) / (x.shape[0] * x.shape[1] * x.shape[2])}
        )

    def _held_out(self) -> Float[Array, "b h w 3"]:
        """The middle of the first evaluation images, as large as training crops."""
        paths = list_images(self.eval.folder)[: min(8, self.eval.limit or 8)]
        return jnp.stack([_middle(read_image(path), self.data.crop) for path in paths])


def _middle(image: np.ndarray, size: int) -> np.ndarray:
    if min(image.shape[:2]) < size:
        raise IcmError(
            f"eval.folder holds an image of {image.shape[1]}×{image.shape[0]}, smaller than data.crop={size}"
        )
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return image[top : top + size, left : left + size].astype(np.float32) / 255.0


@partial(jax.jit, static_argnums=0)
def _forward(model: Any, params: Params, x: Float[Array, "b h w 3"]) -> Latents:
    return model.apply({"params": params}, x)
