"""Three photos that ship with the package, free for any use: what the demo and the tests look at.

`manifest.json` beside this file names the author, the source, the licence and the digest of each.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from icm_jax.errors import IcmError

MANIFEST = "manifest.json"
SAMPLE_FOLDER = Path(__file__).parent  # a folder of photos like any other, for short trainings


@dataclass(frozen=True)
class Sample:
    """One embedded photo; `focus` is the (x, y) corner of a 128x128 detail that shows artefacts well."""

    name: str
    title: str
    author: str
    source: str
    licence: str
    focus: tuple[int, int]
    image: np.ndarray  # uint8 [H, W, 3]


def sample_images() -> list[Sample]:
    """The embedded photos in the order of the manifest.

    Raises IcmError when a file differs from its digest in the manifest (a damaged installation).
    """
    folder = resources.files(__name__)
    entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["photos"]
    return [_load(entry, (folder / entry["file"]).read_bytes()) for entry in entries]


def _load(entry: dict[str, Any], data: bytes) -> Sample:
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry["sha256"]:
        raise IcmError(
            f"sample photo {entry['file']} has sha256 {digest[:12]}…, its manifest says "
            f"{entry['sha256'][:12]}…; reinstall icm-jax"
        )
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return Sample(
        name=entry["name"],
        title=entry["title"],
        author=entry["author"],
        source=entry["source"],
        licence=entry["licence"],
        focus=(entry["focus"][0], entry["focus"][1]),
        image=image,
    )
