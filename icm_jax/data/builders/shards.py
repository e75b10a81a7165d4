"""A shard: records in one array_record file, whole or not there, with a note that says what is in it.

records ─► .NAME.partial ─► read back, digest compared ─► NAME and NAME.json
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from array_record.python import array_record_module

from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError

READ_AT_ONCE = 16  # records


class Shard(NamedTuple):
    """What a shard holds.

    Attributes:
        records: how many.
        sha256: over all records in order, each after its length in eight bytes.
        made_from: digest of the sources; a shard of other sources is not used again.
    """

    records: int
    sha256: str
    made_from: str


def write_shard(path: Path, records: Iterable[bytes], made_from: str) -> Shard:
    """Writes and reads back.

    Raises:
        IcmError: the disk is full, or what is read back is not what was written.
    """
    partial = path.with_name(f".{path.name}.partial")
    count, digest = 0, hashlib.sha256()
    try:
        writer = array_record_module.ArrayRecordWriter(str(partial), "group_size:1")
        for record in records:
            writer.write(record)
            _update(digest, record)
            count += 1
        writer.close()
        shard = Shard(count, digest.hexdigest(), made_from)
        if content(partial) != shard[:2]:
            raise IcmError(f"{partial}: reads back otherwise than written; check the disk, then build again")
        _sync(partial)
        os.replace(partial, path)
        write_bytes(_note(path), json.dumps(shard._asdict()).encode())
        return shard
    except (OSError, RuntimeError) as error:
        raise IcmError(
            f"{path}: can not be written ({error}); make room on the disk, or choose another --data-dir"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def finished_shard(path: Path, made_from: str) -> Shard | None:
    """The shard an interrupted build left here, if it was made from the same sources."""
    try:
        shard = Shard(**json.loads(_note(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return shard if path.is_file() and shard.made_from == made_from else None


def content(path: Path) -> tuple[int, str]:
    """Number of records and their digest.

    Raises:
        IcmError: the file is damaged.
    """
    count, digest = 0, hashlib.sha256()
    for record in read_records(path):
        _update(digest, record)
        count += 1
    return count, digest.hexdigest()


def read_records(path: Path) -> Iterator[bytes]:
    """All records in order.

    Raises:
        IcmError: the file is damaged.
    """
    try:
        reader = array_record_module.ArrayRecordReader(str(path))
        total = reader.num_records()
        for start in range(0, total, READ_AT_ONCE):
            yield from reader.read(list(range(start, min(start + READ_AT_ONCE, total))))
        reader.close()
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise IcmError(f"{path}: damaged shard ({_first_line(error)}); build the data set again") from None


def _update(digest: "hashlib._Hash", record: bytes) -> None:
    digest.update(len(record).to_bytes(8, "little"))
    digest.update(record)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _sync(path: Path) -> None:
    """A rename may reach the disk before the content does; after a power failure that would look whole."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
