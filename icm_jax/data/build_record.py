"""`build.json`: what a builder writes beside TFDS's own files, for those who read the data set."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from icm_jax.errors import IcmError

BUILD_RECORD = "build.json"


class BuildRecord(NamedTuple):
    """What is known since the data set was built.

    Attributes:
        as_is: counts and checksums of the published set were not asked for.
        classes: names of classes by label.
        facts: what else is particular to the set.
        shards: records and digest by file name.
    """

    as_is: bool
    classes: dict[str, list[str]]
    facts: dict[str, Any]
    shards: dict[str, dict[str, Any]]


def read_build_record(folder: Path) -> BuildRecord:
    """The record of a built data set.

    Raises:
        IcmError: it was not built by `icm data build`, or the record is damaged.
    """
    path = folder / BUILD_RECORD
    try:
        return BuildRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise IcmError(
            f"{path}: not a readable record of a build ({error}); build the data set again"
        ) from None
