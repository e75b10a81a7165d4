"""Networks that predict a task from pictures, without a codec: DoRA-ICM's baselines, behind VVC for instance.

One safetensors file with everything but the backbone, in float32; specification and training are in its header.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icm_jax import paths
from icm_jax.models.dora_icm.spec import DoraICMSpec
from icm_jax.models.registry import model_spec, spec_values
from icm_jax.pretrained.dora_icm import backbone_hash
from icm_jax.pretrained.tree_file import read_tree, write_tree

NETWORK_FILE = "network.safetensors"


@dataclass(frozen=True)
class StoredNetwork:
    """Content of a file. `spec.base_hash` says which backbone it belongs to; `digest` is the SHA-256 of the file."""

    name: str
    spec: DoraICMSpec
    params: Mapping[str, Any]
    batch_stats: Mapping[str, Any]
    training: Mapping[str, Any]
    digest: str = ""

    @property
    def task(self) -> str:
        """The dense task it was trained for; "" where the file does not say."""
        return str(self.training.get("task", ""))


def write_network(
    file: Path,
    name: str,
    spec: DoraICMSpec,
    params: paths.Tree,
    batch_stats: paths.Tree,
    facts: Mapping[str, Any],
) -> None:
    """Writes a trained model without a codec; `params` holds the backbone too, which is left out."""
    own = {part: tree for part, tree in params.items() if part != "backbone"}
    spec = dataclasses.replace(spec, base_hash=backbone_hash(params["backbone"]))
    header = {
        "name": name,
        "model": json.dumps(spec_values(spec)),
        "training": json.dumps(dict(facts), default=str),
    }
    write_tree(file, {"params": own, "batch_stats": batch_stats}, header)


def read_network(file: Path) -> StoredNetwork:
    """Inverse of `write_network`.

    Raises:
        IcmError: no such file, a damaged one, or one of another kind.
    """
    what = f"network; give the {NETWORK_FILE} of a run with model.compress=False"
    tree, header = read_tree(file, what, ("name", "model", "training"))
    spec = model_spec(json.loads(header["model"]))
    assert isinstance(spec, DoraICMSpec)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return StoredNetwork(
        header["name"], spec, tree["params"], tree["batch_stats"], json.loads(header["training"]), digest
    )
