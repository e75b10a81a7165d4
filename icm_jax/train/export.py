"""From trained parameters to codec folders: one a rate, with tight integer tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from icm_jax.entropy.factorized import fit_quantiles
from icm_jax.entropy.tables import centred_scale_table, factorized_tables, gaussian_tables
from icm_jax.models.registry import ModelSpec
from icm_jax.pretrained import store
from icm_jax.train.objective import Params


def export(
    name: str,
    spec: ModelSpec,
    lmbdas: Sequence[float],
    first_quality: int,
    members: Sequence[Params],
    training: Mapping[str, Any],
    folder: Path,
) -> list[Path]:
    """Writes a codec a rate, `folder/q1`, `q2`, …, and returns their folders.

    Args:
        members: parameters of each rate, in the order of `lmbdas`.
        training: facts about the training that are kept with the codec.
    """
    folders = []
    for rate, (lmbda, member) in enumerate(zip(lmbdas, members, strict=True)):
        quality = first_quality + rate
        codec = make_codec(name, quality, lmbda, spec, member, {**training, "trained_together": list(lmbdas)})
        folders.append(folder / f"q{quality}")
        store.save(codec, folders[-1])
    return folders


def make_codec(
    name: str, quality: int, lmbda: float, spec: ModelSpec, params: Params, training: Mapping[str, Any]
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
        training=dict(training),
    )
    return store.with_hash(codec)
