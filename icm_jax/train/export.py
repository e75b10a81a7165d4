"""From trained parameters to codec folders: one a rate, with tight integer tables."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from icm_jax.entropy.factorized import fit_quantiles
from icm_jax.entropy.tables import centred_scale_table, factorized_tables, gaussian_tables
from icm_jax.models import rate_family
from icm_jax.pretrained import store
from icm_jax.train.config import TrainConfig


def export(config: TrainConfig, params: Any, step: int, folder: Path) -> list[Path]:
    """Writes a folder a rate, `folder/q1`, `q2`, …, and returns the folders."""
    lmbdas = config.rate.lmbda
    folders = []
    training = {
        "optimizer": config.optim.optimizer,
        "steps": step,
        "batch_size": config.data.batch_size,
        "crop": config.data.crop,
        "trained_together": list(lmbdas),
        "started_from_weights": bool(config.init_from),
    }
    for rate, lmbda in enumerate(lmbdas):
        quality = config.rate.first_quality + rate
        member = rate_family.fold(params, rate) if len(lmbdas) > 1 else params
        codec = make_codec(config.name, quality, lmbda, config.model, member, training)
        folders.append(folder / f"q{quality}")
        store.save(codec, folders[-1])
    return folders


def make_codec(
    name: str, quality: int, lmbda: float, spec: Any, params: Any, training: dict[str, Any]
) -> store.StoredCodec:
    """A codec from parameters: quantiles solved for, weights rounded as stored, tables cut from the rounded ones."""
    params = jax.tree.map(np.asarray, params)
    prior = dict(params["z_prior"])
    prior["quantiles"] = np.asarray(fit_quantiles(prior))
    stored = store.as_float32(store.as_stored({**params, "z_prior": prior}))
    codec = store.StoredCodec(
        name=name,
        quality=quality,
        lmbda=lmbda,
        spec=spec,
        params=stored,
        z_tables=factorized_tables(stored["z_prior"]),
        y_tables=gaussian_tables(centred_scale_table()),
        training=training,
    )
    return store.with_hash(codec)
