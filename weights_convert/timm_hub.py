"""Weights by their timm name: fetched once from the hub that timm keeps them on, and checked against its digest.

    timm:NAME ─► hub: revision, size, sha256, licence ─► NAME.safetensors.part, resumed ─► NAME.safetensors

A file that lies there already is taken as it is; then nothing is asked of any server.
"""

import hashlib
import json
import os
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from icm_jax.errors import IcmError
from icm_jax.recognizers.registry import weights_folder
from weights_convert.sources import SOURCES, TIMM_HUB, Published

PREFIX = "timm:"
ENDPOINT_VARIABLE, ENDPOINT = "HF_ENDPOINT", "https://huggingface.co"  # the variable is the hub's own
FILE = "model.safetensors"
SOURCE_OF = {"eva02_": "eva02", "swin_": "swin"}  # leading letters of a timm name -> source
SECONDS, CHUNK = 30, 1 << 20
NETWORK_ERRORS = (OSError, HTTPException)  # urllib's own errors are OSErrors


class Fetched(NamedTuple):
    """A file of weights, which of the sources it is of, and what its publisher says of it."""

    source: str
    file: Path
    published: Published


class Listing(NamedTuple):
    """What the hub says of a file."""

    revision: str
    size: int
    sha256: str
    licence: str


def fetch(name: str, folder: Path | None = None) -> Fetched:
    """The file of a timm name, with or without `timm:` in front; downloads what is missing of it.

    Args:
        folder: where it is kept; by default `$ICM_WEIGHTS` or `~/.cache/icm-jax/weights`.

    Raises:
        IcmError: a network that is not read; no connection, with what to place where; a file with another digest.
    """
    name = name.removeprefix(PREFIX)
    source = next((source for start, source in SOURCE_OF.items() if name.startswith(start)), None)
    if source is None:
        raise IcmError(
            f"{PREFIX}{name} is of no network that is read by its timm name; these begin with {', '.join(SOURCE_OF)}"
        )
    file = (folder or weights_folder()) / f"{name}.safetensors"
    licence = _known_licence(name)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            listing = _look_up(name)
            _download(name, listing, file)
        except NETWORK_ERRORS as error:
            raise IcmError(
                f"{PREFIX}{name} can not be fetched ({error}); run again to go on where it stopped, or place {FILE} of "
                f"{TIMM_HUB}{name} at {file}"
            ) from None
        licence = listing.licence
    return Fetched(source, file, Published(name, file.name, f"{TIMM_HUB}{name}", licence))


def _known_licence(name: str) -> str:
    rows = {row.url: row.licence for source in SOURCE_OF.values() for row in SOURCES[source].published}
    return rows.get(f"{TIMM_HUB}{name}", f"see {TIMM_HUB}{name}")


def _look_up(name: str) -> Listing:
    with _open(f"/api/models/timm/{name}?blobs=true", {}) as response:
        record = json.load(response)
    found = [row for row in record.get("siblings", ()) if row.get("rfilename") == FILE]
    if not found or "sha256" not in found[0].get("lfs", {}):
        raise IcmError(
            f"{TIMM_HUB}{name} lists no {FILE} with a digest; give the name of a model with weights"
        )
    licence = (record.get("cardData") or {}).get("license") or "not stated beside the weights"
    return Listing(record["sha"], int(found[0]["size"]), found[0]["lfs"]["sha256"], licence)


def _download(name: str, listing: Listing, file: Path) -> None:
    """Into `file`.part, from its end on, then to its own name if size and digest are right."""
    part = file.with_name(f"{file.name}.part")
    have = part.stat().st_size if part.is_file() else 0
    if have < listing.size:
        headers = {"Range": f"bytes={have}-"} if have else {}
        with (
            _open(f"/timm/{name}/resolve/{listing.revision}/{FILE}", headers) as response,
            part.open("ab" if response.status == 206 else "wb") as stream,  # 200: the server begins anew
        ):
            while chunk := response.read(CHUNK):
                stream.write(chunk)
    if (size := part.stat().st_size) < listing.size:
        raise ConnectionError(f"{size} of {listing.size} bytes came")
    with part.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != listing.sha256:
        part.unlink()
        raise IcmError(
            f"{PREFIX}{name}: what came has the digest {digest[:16]}, its publisher says {listing.sha256[:16]}; "
            "it was removed, fetch it again"
        )
    os.replace(part, file)


def _open(path: str, headers: Mapping[str, str]) -> Any:
    url = os.environ.get(ENDPOINT_VARIABLE, ENDPOINT).rstrip("/") + path
    return urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=SECONDS)
