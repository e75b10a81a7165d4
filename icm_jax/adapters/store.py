"""An adapter on disk: one safetensors file, the adapter's arrays alone, with a JSON record in its header.

tensors   params/g_a/…, params/g_s/…, batch_stats/…                         float32
record    format, name, task, specification, hash, hash and name of the base, metrics, hashes of adapters it extends
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors
import safetensors.numpy

from icm_jax import paths
from icm_jax.adapters.low_rank import LowRankSpec
from icm_jax.adapters.registry import adapter_values, stored_spec
from icm_jax.bitstream.header import MAX_ID_BYTES
from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError
from icm_jax.models.hooks import AdapterSpec

FORMAT = 1
RECORD = "icm_adapter"  # key of the record among the file's metadata


class Base(Protocol):
    """What an adapter is put on: a stored codec, or a backbone."""

    @property
    def hash(self) -> str:
        """SHA-256 of its weights, hexadecimal."""

    @property
    def label(self) -> str:
        """What messages call it."""


@dataclass(frozen=True)
class StoredAdapter:
    """Content of an adapter file.

    Attributes:
        name: what streams carry, at most 32 bytes.
        task: what it was trained for.
        variables: its Flax collections, "params" and perhaps "batch_stats".
        base_hash, base_name: what it was trained on, and the only thing it can be put on.
        metrics: how good it was found to be.
        extends: hashes of adapters that it is the same as but for tasks added since: it decodes their streams too.
        hash: SHA-256 of specification, base and arrays, hexadecimal.
    """

    name: str
    task: str
    spec: AdapterSpec | LowRankSpec
    variables: Mapping[str, Any]
    base_hash: str
    base_name: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    extends: tuple[str, ...] = ()
    hash: str = ""

    @property
    def codec_spec(self) -> AdapterSpec:
        """`spec`, of an adapter that steers a codec.

        Raises:
            IcmError: it adapts the linear layers of a backbone.
        """
        if isinstance(self.spec, LowRankSpec):
            raise IcmError(f"adapter {self.name} belongs to a backbone; bind it with adapters.low_rank.bind")
        return self.spec

    def refuse_other_base(self, base: Base) -> None:
        """Raises IcmError, with both hashes, unless the adapter was made for this base."""
        if self.base_hash != base.hash:
            raise IcmError(
                f"adapter {self.name} was made for base {self.base_name} {self.base_hash[:16]}, this is "
                f"{base.label} {base.hash[:16]}; load that base, or train the adapter on this one"
            )


def refuse_name(name: str) -> None:
    """Raises IcmError for an adapter's name that streams can not carry."""
    if not 0 < len(name.encode()) <= MAX_ID_BYTES or not name.isprintable():
        raise IcmError(f"adapter name {name!r} must be 1 to {MAX_ID_BYTES} bytes of printable text")


def make_adapter(
    name: str,
    task: str,
    spec: AdapterSpec | LowRankSpec,
    variables: Mapping[str, Any],
    base: Base,
    metrics: Mapping[str, Any] | None = None,
    extends: tuple[str, ...] = (),
) -> StoredAdapter:
    """An adapter for a base, with its hash; arrays become float32.

    Raises:
        IcmError: a name that streams can not carry, or a parameter that is not finite.
    """
    refuse_name(name)
    arrays = {path: np.asarray(leaf, np.float32) for path, leaf in paths.flatten(variables).items()}
    for path, array in arrays.items():
        if not np.isfinite(array).all():
            raise IcmError(
                f"parameter {path} of adapter {name} is not finite; train on or take an older checkpoint"
            )
    tree = paths.unflatten(arrays)
    made = StoredAdapter(name, task, spec, tree, base.hash, base.label, metrics or {}, extends)
    return dataclasses.replace(made, hash=_content_hash(spec, base.hash, arrays))


def save(adapter: StoredAdapter, path: str | Path) -> None:
    """Writes an adapter file, whole or not at all."""
    record = {
        "format": FORMAT,
        "name": adapter.name,
        "task": adapter.task,
        "adapter": adapter_values(adapter.spec),
        "base_hash": adapter.base_hash,
        "base_name": adapter.base_name,
        "metrics": dict(adapter.metrics),
        "extends": list(adapter.extends),
        "hash": adapter.hash,
    }
    arrays = paths.flatten(adapter.variables)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(Path(path), safetensors.numpy.save(arrays, {RECORD: json.dumps(record)}))


def load(path: str | Path) -> StoredAdapter:
    """Reads an adapter file and checks its hash.

    Raises:
        IcmError: no such file, no adapter in it, damaged, or of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise IcmError(f"{path}: no such adapter file; check the path")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (OSError, safetensors.SafetensorError) as error:
        raise IcmError(f"{path}: damaged adapter file ({error}); copy or export it again") from None
    if RECORD not in metadata:
        raise IcmError(
            f"{path}: the weights in it are no adapter; give a file that `adapters.store.save` wrote"
        )
    record = json.loads(metadata[RECORD])
    if record.get("format") != FORMAT:
        raise IcmError(f"{path}: format {record.get('format')}, this program reads {FORMAT}; update icm-jax")
    spec = stored_spec(record["adapter"])
    found = _content_hash(spec, record["base_hash"], arrays)
    if found != record["hash"]:
        raise IcmError(
            f"{path}: content has hash {found[:16]}, its record says {record['hash'][:16]}; copy or export it again"
        )
    known = {key: record[key] for key in ("name", "task", "base_hash", "base_name", "metrics", "hash")}
    extends = tuple(record.get("extends", ()))  # files of older versions have none
    return StoredAdapter(spec=spec, variables=paths.unflatten(arrays), extends=extends, **known)


def _content_hash(spec: AdapterSpec | LowRankSpec, base_hash: str, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over what decides how a stream is written and read."""
    digest = hashlib.sha256(json.dumps([adapter_values(spec), base_hash], sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name}:{arrays[name].dtype.str}:{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
