"""`records.jsonl`: one line an image and point of a curve, appended as soon as it is measured.

A run that was interrupted goes on where it stopped: a line counts as done when codec, quality, hash of the codec,
digests of image and label, and judge all agree.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError

Record = dict[str, Any]
Key = tuple[Any, ...]
CountersByTruth = dict[str, Mapping[str, Any]]  # "label" and "own"; each counters by name

RECORDS = "records.jsonl"
UNCOMPRESSED = "uncompressed"  # codec of the records of originals

KEY = ("codec", "quality", "hash", "image_sha256", "label_sha256", "judge")


def picture_name(stem: str, curve: str, quality: float) -> str:
    """File name of a decoded picture."""
    return f"{stem}-{curve}-{quality:g}.png"


def key_of(record: Mapping[str, Any]) -> Key:
    """What makes a line stand for a measurement."""
    return tuple(record[name] for name in KEY)


def line_of(record: Record) -> str:
    """A record as a line; numbers keep every bit."""
    return json.dumps(record, allow_nan=False) + "\n"


def read_records(path: Path) -> list[Record]:
    """Records of an earlier run. A torn last line, left by a killed run, is cut off the file.

    Raises:
        IcmError: a line that is not a record of this version.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    complete = data[: data.rfind(b"\n") + 1]
    if complete != data:
        write_bytes(path, complete)
    try:
        records = [json.loads(line) for line in complete.splitlines()]
    except ValueError as error:
        raise IcmError(
            f"{path} holds a line that is not JSON ({error}); delete the file to start anew"
        ) from error
    for number, record in enumerate(records, 1):
        missing = [name for name in KEY if not isinstance(record, dict) or name not in record]
        if missing:
            raise IcmError(
                f"{path}, line {number}: has no {missing[0]}, so another version wrote it; "
                "give another folder with -o, or delete the file to start anew"
            )
    return records


def plain_counters(counters: CountersByTruth) -> dict[str, Any]:
    """Counters as lists and numbers."""
    return {
        truth: {name: _plain(counter) for name, counter in named.items()} for truth, named in counters.items()
    }


def counters_of(record: Record, empty: CountersByTruth) -> CountersByTruth:
    """The counters of a record, in the shape of `empty`."""
    return {
        truth: {name: _restored(empty[truth][name], plain) for name, plain in named.items()}
        for truth, named in record["counts"].items()
    }


def _plain(counter: Any) -> dict[str, Any]:
    fields = dataclasses.fields(counter)
    values = {field.name: getattr(counter, field.name) for field in fields}
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()
    }


def _restored(template: Any, plain: Mapping[str, Any]) -> Any:
    values = {}
    for name, value in plain.items():
        like = getattr(template, name)
        if isinstance(like, np.ndarray):
            value = np.asarray(value, like.dtype)
        values[name] = tuple(value) if isinstance(like, tuple) else value
    return dataclasses.replace(template, **values)
