"""A folder of converted weights: our paths, and a record of where they come from.

manifest.json         source, model, hashes of file and weights, licence, what was used and what dropped, and why
weights.safetensors   float32 by '/'-joined path; for an adapter `base/…` and `adapter/…`
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from icm_jax import paths
from icm_jax.errors import IcmError
from weights_convert.keymap import SHOWN_DIFFERENCES, ConversionError, find_rule
from weights_convert.network_map import StateDict, shapes_of
from weights_convert.sources import Source, convert_from, find_source

FORMAT = 1
MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"


class Converted(NamedTuple):
    """What became of a file.

    Attributes:
        network: the architecture: a Flax module, or the specification of a codec, adapter or backbone.
        params: float32, nested.
        manifest: what `manifest.json` says.
        published: the arrays as they were; none of a folder that was read.
    """

    source: Source
    network: Any
    params: dict[str, Any]
    manifest: dict[str, Any]
    published: StateDict = MappingProxyType({})


def convert_arrays(source_name: str, state_dict: StateDict) -> Converted:
    """Network, parameters and the part of the manifest that arrays tell.

    Raises:
        ConversionError: the arrays are not those of the source, or are not all finite.
    """
    source = find_source(source_name)
    network, params = convert_from(source_name, state_dict)
    leaves = paths.flatten(params)
    _refuse_values(leaves)
    prepared = source.map.prepare(state_dict)
    rules = source.map.rules(network)
    dropped = Counter(
        rule.reason
        for name in prepared
        if (found := find_rule(name, rules)) is not None and (rule := found[0]).target is None
    )
    rounded = Counter(
        a.dtype.name for a in state_dict.values() if a.dtype.name.startswith(("float", "bfloat"))
    )
    del rounded["float32"]
    manifest = {
        "format": FORMAT,
        "source": source_name,
        "publisher": source.title,
        "makes": source.makes,
        "used": len(prepared) - sum(dropped.values()),
        "dropped": dict(dropped),
        "other_precisions": dict(rounded),
        "values": sum(int(leaf.size) for leaf in leaves.values()),
        "arrays": {name: list(shape) for name, shape in sorted(shapes_of(state_dict).items())},
    }
    return Converted(source, network, params, manifest, state_dict)


def write(converted: Converted, folder: Path) -> None:
    """Writes weights and manifest, with the hash of the weights, into an existing folder."""
    safetensors.numpy.save_file(paths.flatten(converted.params), folder / WEIGHTS)
    manifest = converted.manifest | {"weights_sha256": digest_of(folder / WEIGHTS)}
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    one_line = re.sub(r"\[[\d,\s]+\]", lambda shape: re.sub(r"\s+", " ", shape[0]), text)
    (folder / MANIFEST).write_text(one_line + "\n")


def digest_of(file: Path) -> str:
    """SHA-256 of a file of any size."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_converted(path: Path) -> bool:
    """Whether a path is a folder of converted weights, or the weights in one."""
    return (path / MANIFEST).is_file() or (path.name == WEIGHTS and path.with_name(MANIFEST).is_file())


def read(path: Path) -> Converted:
    """A folder of converted weights, or the file of weights in one.

    Raises:
        IcmError: no such folder, damaged, of a newer format, or its weights are not the recorded ones.
    """
    folder = path.parent if path.name == WEIGHTS else path
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        data = (folder / WEIGHTS).read_bytes()
        leaves = safetensors.numpy.load(data)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise IcmError(f"{folder} is no whole folder of converted weights ({error}); convert again") from None
    if manifest.get("format") != FORMAT:
        raise IcmError(
            f"{folder}: format {manifest.get('format')}, this program reads {FORMAT}; update icm-jax"
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest != manifest["weights_sha256"]:
        raise IcmError(
            f"{folder}: weights have hash {digest[:16]}, the manifest says {manifest['weights_sha256'][:16]}; "
            "convert again"
        )
    source = find_source(manifest["source"])
    network = source.map.network({name: tuple(shape) for name, shape in manifest["arrays"].items()})
    return Converted(source, network, paths.unflatten(leaves), manifest)


def to_reference(converted: Converted) -> dict[str, np.ndarray]:
    """The arrays under their published names again, without those that were dropped."""
    published = {name: tuple(shape) for name, shape in converted.manifest["arrays"].items()}
    return converted.source.map.invert(converted.network, converted.params, published)


def _refuse_values(leaves: Mapping[str, np.ndarray]) -> None:
    """Raises ConversionError if a parameter holds NaN or infinity."""
    bad = [path for path, leaf in sorted(leaves.items()) if not np.isfinite(leaf).all()]
    if bad:
        more = f" and {len(bad) - SHOWN_DIFFERENCES} more" if len(bad) > SHOWN_DIFFERENCES else ""
        raise ConversionError(
            f"{len(bad)} array(s) hold NaN or infinity: {', '.join(bad[:SHOWN_DIFFERENCES])}{more}; "
            "fetch the file again, or take an earlier checkpoint"
        )
