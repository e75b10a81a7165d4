"""DoRA-ICM models as stored codecs: everything of one task but the backbone, which tasks share.

trained parameters ─► to_stored ─► StoredCodec: codec of features (its subtrees on top), adapter, preliminary, decoder,
                                   running statistics; the hash of its backbone is in the specification
StoredCodec, backbone ─► variables ─► DoraICM.apply
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icm_jax import paths
from icm_jax.entropy.bit_estimator import estimator_tables
from icm_jax.entropy.tables import centred_scale_table, gaussian_tables
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm import model
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.pretrained import store
from icm_jax.pretrained.store import StoredCodec
from icm_jax.pretrained.tree_file import read_tree, write_tree

BACKBONE_FILE = "backbone.safetensors"
BESIDE_THE_CODEC = ("adapter", "preliminary", "tap_join", "decoder")


def backbone_hash(backbone: paths.Tree) -> str:
    """SHA-256 of the parameters of a backbone, hexadecimal."""
    digest = hashlib.sha256()
    for path, leaf in sorted(paths.flatten(backbone).items()):
        array = np.ascontiguousarray(leaf, np.float32)
        digest.update(f"{path}:{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Backbone:
    """What adapter files of a backbone are made for; see `adapters.store.Base`."""

    hash: str
    label: str = "backbone"


def to_stored(
    name: str,
    quality: int,
    lmbda: float,
    spec: DoraICMSpec,
    params: paths.Tree,
    batch_stats: paths.Tree,
    training: Mapping[str, Any] | None = None,
) -> StoredCodec:
    """A trained model as it is stored: weights rounded, tables cut from the rounded ones, backbone left out.

    Raises:
        IcmError: a model without a codec, which has no streams.
    """
    if not spec.compress:
        raise IcmError(f"{name} has no codec (compress=False); there is nothing to write streams with")
    own = {part: params[part] for part in BESIDE_THE_CODEC if part in params}
    stored = store.as_float32(store.as_stored({**params["codec"], **own, "batch_stats": batch_stats}))
    return store.with_hash(
        StoredCodec(
            name=name,
            quality=quality,
            lmbda=lmbda,
            spec=dataclasses.replace(spec, base_hash=backbone_hash(params["backbone"])),
            params=stored,
            z_tables=estimator_tables(stored["z_prior"]),
            y_tables=gaussian_tables(centred_scale_table()),
            training=dict(training or {}),
        )
    )


def variables(codec: StoredCodec, backbone: paths.Tree | None = None) -> dict[str, Any]:
    """The collections for `DoraICM.apply`; without a backbone for its decoding half alone.

    Raises:
        IcmError: the backbone is not the one that the adapters belong to.
    """
    spec = codec.spec
    assert isinstance(spec, DoraICMSpec)
    if backbone is not None:
        refuse_other_backbone(codec, backbone)
    params, batch_stats = trees(codec)
    if backbone is not None:
        params["backbone"] = backbone
    return model.variables(spec, params, batch_stats)


def refuse_other_backbone(codec: StoredCodec, backbone: paths.Tree) -> None:
    """Raises IcmError for a backbone that is not the one that the codec's adapters belong to."""
    assert isinstance(codec.spec, DoraICMSpec)
    if (found := backbone_hash(backbone)) != codec.spec.base_hash:
        raise IcmError(
            f"{codec.name} needs the backbone {codec.spec.base_hash[:16]}, this one is {found[:16]}; "
            "load the weights it was trained on"
        )


def trees(codec: StoredCodec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters without the backbone, and running statistics, as `to_stored` was given them."""
    beside = {*BESIDE_THE_CODEC, "batch_stats"}
    params = {part: codec.params[part] for part in BESIDE_THE_CODEC if part in codec.params}
    params["codec"] = {part: tree for part, tree in codec.params.items() if part not in beside}
    return params, codec.params["batch_stats"]


def write_backbone(file: Path, backbone: paths.Tree, facts: Mapping[str, Any]) -> None:
    """A backbone as one file, with facts about its training."""
    write_tree(file, backbone, {"training": json.dumps(dict(facts), default=str)})


def read_backbone(file: Path) -> dict[str, Any]:
    """Inverse of `write_backbone`.

    Raises:
        IcmError: no such file, or a damaged one.
    """
    return read_tree(file, f"backbone; give the {BACKBONE_FILE} of a run").tree
