"""A codec on disk: one folder with a JSON spec, safetensors weights, integer tables and a hash over all of them.

codec.json            model specification, name, quality, λ, hash, how it was trained
weights.safetensors   parameters by '/'-joined path (float16, the factorised prior float32; all float32 if `exact`)
tables.safetensors    integer CDFs of z and y, ragged rows concatenated as uint16
"""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from flax import traverse_util

from icm_jax.bitstream.tables import CdfTables
from icm_jax.errors import IcmError
from icm_jax.models.registry import ModelSpec, model_spec, spec_values

FORMAT = 1
RECORD_KEYS = ("name", "quality", "lmbda", "hash", "training")  # entries of codec.json beside the model


@dataclass(frozen=True)
class StoredCodec:
    """Content of a codec folder. `params` are float32; `hash` is hexadecimal SHA-256.

    `exact` keeps all weights in float32: those of another program, so that its streams are ours.
    """

    name: str
    quality: int
    lmbda: float
    spec: ModelSpec
    params: Mapping[str, Any]
    z_tables: CdfTables
    y_tables: CdfTables
    hash: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False

    @property
    def label(self) -> str:
        """Name and quality, as messages have them."""
        return f"{self.name} q{self.quality}"


def stored_dtype(path: str) -> type[np.generic]:
    """float16 halves the file. Not so for the prior of z, whose tables are cut from its far tails, and for
    running statistics, whose variances may lie beyond float16.
    """
    return np.float32 if path.startswith(("z_prior/", "batch_stats/")) else np.float16


def as_stored(params: Mapping[str, Any], exact: bool = False) -> dict[str, np.ndarray]:
    """Flat parameters, rounded to the precision they are stored in. Tables must be made from these."""
    flat = traverse_util.flatten_dict(params, sep="/")
    arrays = {
        path: np.asarray(leaf).astype(np.float32 if exact else stored_dtype(path))
        for path, leaf in flat.items()
    }
    for path, array in arrays.items():
        if not np.isfinite(array).all():
            raise IcmError(
                f"parameter {path} has a value that is not finite or beyond float16; train on or clip it"
            )
    return arrays


def as_float32(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Nested float32 parameters from flat stored ones."""
    return traverse_util.unflatten_dict({path: a.astype(np.float32) for path, a in arrays.items()}, sep="/")


def save(codec: StoredCodec, folder: str | Path) -> str:
    """Writes a codec folder (whole or not at all) and returns its hash."""
    folder = Path(folder)
    weights, tables = as_stored(codec.params, codec.exact), _pack_tables(codec.z_tables, codec.y_tables)
    digest = content_hash(codec.spec, weights, tables)
    record = {
        "format": FORMAT,
        "name": codec.name,
        "quality": codec.quality,
        "lmbda": codec.lmbda,
        "model": spec_values(codec.spec),
        "hash": digest,
        "training": dict(codec.training),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        safetensors.numpy.save_file(weights, temporary / "weights.safetensors")
        safetensors.numpy.save_file(tables, temporary / "tables.safetensors")
        (temporary / "codec.json").write_text(json.dumps(record, indent=2) + "\n")
        temporary.chmod(0o755)
        for file in temporary.iterdir():
            file.chmod(0o644)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return digest


def load(folder: str | Path) -> StoredCodec:
    """Reads a codec folder and checks its hash.

    Raises:
        IcmError: a file is missing or damaged, the format is newer, or weights and hash disagree.
    """
    folder = Path(folder)
    for name in ("codec.json", "weights.safetensors", "tables.safetensors"):
        if not (folder / name).is_file():
            raise IcmError(f"{folder}: {name} is missing; copy or export the codec folder again")
    try:
        record = json.loads((folder / "codec.json").read_text())
        weights = safetensors.numpy.load_file(folder / "weights.safetensors")
        tables = safetensors.numpy.load_file(folder / "tables.safetensors")
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise IcmError(f"{folder}: damaged codec folder ({error}); copy or export it again") from None
    _check_record(folder, record)
    spec = model_spec(record["model"])
    digest = content_hash(spec, weights, tables)
    if digest != record["hash"]:
        raise IcmError(
            f"{folder}: weights have hash {digest[:16]}, codec.json says {record['hash'][:16]}; copy or export it again"
        )
    z_tables, y_tables = _unpack_tables(tables)
    known = {key: record[key] for key in RECORD_KEYS}
    exact = all(array.dtype == np.float32 for array in weights.values())
    return StoredCodec(
        spec=spec, params=as_float32(weights), z_tables=z_tables, y_tables=y_tables, exact=exact, **known
    )


def _check_record(folder: Path, record: Any) -> None:
    """Raises IcmError where codec.json is of another format or lacks an entry."""
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        raise IcmError(f"{folder}: format {found}, this program reads {FORMAT}; update icm-jax")
    missing = [key for key in (*RECORD_KEYS, "model") if key not in record]
    if missing:
        raise IcmError(f"{folder}: codec.json has no {', '.join(missing)}; copy or export the folder again")


def content_hash(spec: ModelSpec, weights: Mapping[str, np.ndarray], tables: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over everything that decides how a stream is read: specification, weights, tables."""
    digest = hashlib.sha256(json.dumps(spec_values(spec), sort_keys=True).encode())
    for arrays in (weights, tables):
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def with_hash(codec: StoredCodec) -> StoredCodec:
    """A codec that was never saved, with the hash it would get; its weights rounded as stored."""
    weights = as_stored(codec.params, codec.exact)
    digest = content_hash(codec.spec, weights, _pack_tables(codec.z_tables, codec.y_tables))
    return dataclasses.replace(codec, params=as_float32(weights), hash=digest)


def _pack_tables(z_tables: CdfTables, y_tables: CdfTables) -> dict[str, np.ndarray]:
    """Rows without their leading 0 and trailing 65536, end to end: a third of the padded matrix, and 16 bits."""
    packed = {}
    for name, tables in (("z", z_tables), ("y", y_tables)):
        rows = [row[1 : length - 1] for row, length in zip(tables.cdf, tables.length, strict=True)]
        packed[f"{name}_cdf"] = np.concatenate(rows).astype(np.uint16)
        packed[f"{name}_length"] = tables.length.astype(np.int32)
        packed[f"{name}_offset"] = tables.offset.astype(np.int32)
    return packed


def _unpack_tables(packed: Mapping[str, np.ndarray]) -> tuple[CdfTables, CdfTables]:
    unpacked = []
    for name in ("z", "y"):
        length, offset = packed[f"{name}_length"], packed[f"{name}_offset"]
        cdf = np.zeros((len(length), int(length.max())), np.int32)
        start = 0
        for row, n in zip(cdf, length, strict=True):
            row[1 : n - 1] = packed[f"{name}_cdf"][start : start + n - 2]
            row[n - 1] = 1 << 16
            start += n - 2
        unpacked.append(CdfTables(cdf, length.astype(np.int32), offset.astype(np.int32)))
    return unpacked[0], unpacked[1]
