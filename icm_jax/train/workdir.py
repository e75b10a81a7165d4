"""A workdir belongs to one config: written down at the first start, compared at every other."""

import json
from pathlib import Path
from typing import Any

import ml_collections

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError

FREE = (
    "eval",
    "log",
    "checkpoint",
    "mesh",
    "compute.remat",
    "data.threads",
    "optim.total_steps",
    "optim.skip_not_finite",
)


def remember_config(raw_config: ml_collections.ConfigDict, workdir: Path) -> None:
    """Writes `workdir/config.json`.

    A longer run, other devices, other logging or another evaluation continue the same training.

    Raises:
        IcmError: the folder belongs to a config that trains something else; names the differing keys.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(raw_config.to_dict(), indent=2, sort_keys=True, default=list) + "\n"
    path = workdir / "config.json"
    if path.exists():
        before, now = _flat(json.loads(path.read_text())), _flat(json.loads(text))
        differing = [
            key for key in sorted({*before, *now}) if before.get(key) != now.get(key) and not _free(key)
        ]
        if differing:
            changes = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in differing[:10])
            raise IcmError(f"{workdir} belongs to another config ({changes}); use another --workdir")
    write_bytes(path, text.encode())


def _free(key: str) -> bool:
    return any(key == free or key.startswith(free + ".") for free in FREE)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
