"""What all builders share: from files in a manual folder to verified shards that TFDS reads.

    sources(root) ─► all files there? published counts? ─► example(source) ─► record ─► shard, read back
                                                                                          └─► build.json

Shards grow in `building-VERSION` beside the data set's folder, which appears when all of them are whole. An
interrupted build goes on with the shards it has, as long as their files have not changed since.
"""

import abc
import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_builder, example_serializer
from tqdm import tqdm

from icm_jax.data.build_record import BUILD_RECORD, BuildRecord
from icm_jax.data.builders.shards import Shard, finished_shard, write_shard
from icm_jax.data.image_io import write_bytes
from icm_jax.errors import IcmError

Example = dict[str, Any]


class Source(NamedTuple):
    """An example and the files it is made of, its image first."""

    key: str
    files: tuple[Path, ...]


class ShardedBuilder(dataset_builder.FileReaderBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A builder says where its examples are (`sources`), how one is read (`example`) and what it holds (`features`).

    Args:
        as_is: build what is there, whatever the published set has; the data set says so from then on.
        jobs: threads that read and encode examples.
    """

    VERSION = tfds.core.Version("1.0.0")
    TITLE: ClassVar[str] = ""
    HOMEPAGE: ClassVar[str] = ""
    MANUAL_DOWNLOAD_INSTRUCTIONS: ClassVar[str] = ""  # what the manual folder holds
    PUBLISHED: ClassVar[Mapping[str, int]] = {}  # examples of a split, where they are known
    EXAMPLES_PER_SHARD: ClassVar[int] = 64  # 50 to 200 MB
    url_infos = (
        None  # nothing is downloaded, and TFDS 4.9.10 looks for digests with a package it does not install
    )

    def __init__(self, *, as_is: bool = False, jobs: int = 1, **arguments: Any) -> None:
        self.as_is, self.jobs = as_is, jobs
        super().__init__(**{"file_format": "array_record", **arguments})

    @classmethod
    def find_configs(cls, root: Path) -> tuple[str, ...]:
        """The configurations that a manual folder fits, the usual one first; none where a builder has none.

        Raises:
            IcmError: it has some, and the folder fits none.
        """
        return ()

    @abc.abstractmethod
    def sources(self, root: Path) -> dict[str, list[Source]]:
        """The examples of every split, in the order they are stored.

        Raises:
            IcmError: lists or annotation files are missing or not of the expected form.
        """

    @abc.abstractmethod
    def example(self, source: Source) -> Example:
        """One example as `features` wants it.

        Raises:
            IcmError: a file is not readable or does not fit the others; the message names it.
        """

    @abc.abstractmethod
    def features(self) -> dict[str, Any]:
        """TFDS features by name."""

    def classes(self) -> dict[str, Sequence[str]]:
        """Names of classes of each class map or label."""
        return {}

    def facts(self) -> dict[str, Any]:
        """What else a reader has to know, as JSON; asked for after all examples."""
        return {}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.TITLE,
            homepage=self.HOMEPAGE or None,
            features=tfds.features.FeaturesDict(self.features()),
            disable_shuffling=True,  # stored in the order of the published lists
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        sources = self.sources(Path(dl_manager.manual_dir))
        self._check(sources)
        folder = Path(self.data_path)  # temporary, renamed by TFDS after this returns
        staging = folder.parent / f"building-{self.version}"
        with _locked(staging):
            for left_over in set(folder.parent.glob(f"incomplete.*_{self.version}")) - {folder}:
                shutil.rmtree(left_over)  # of a build that was killed
            planned = {split: self._plan(split, of_split) for split, of_split in sources.items()}
            shards = self._build_shards(planned, staging)
            for name in shards:
                (staging / name).replace(folder / name)
            self._record(planned, shards, folder)
            shutil.rmtree(staging)

    def _plan(self, split: str, sources: Sequence[Source]) -> dict[str, Sequence[Source]]:
        """Sources of each shard, by file name."""
        size = self.EXAMPLES_PER_SHARD
        parts = [sources[start : start + size] for start in range(0, len(sources), size)]
        template = self._get_filename_template(split)
        names = [
            template.sharded_filepath(shard_index=i, num_shards=len(parts)).name for i in range(len(parts))
        ]
        return dict(zip(names, parts, strict=True))

    def _build_shards(
        self, planned: Mapping[str, Mapping[str, Sequence[Source]]], staging: Path
    ) -> dict[str, Shard]:
        parts = {name: sources for of_split in planned.values() for name, sources in of_split.items()}
        total = sum(map(len, parts.values()))
        shards = {}
        with tqdm(total=total, desc=self.name, unit=" examples", disable=None) as bar:
            for name, sources in parts.items():
                made_from = self._fingerprint(sources)
                finished = finished_shard(staging / name, made_from)
                if finished is not None:
                    bar.update(len(sources))
                shards[name] = finished or write_shard(staging / name, self._records(sources, bar), made_from)
        return shards

    def _records(self, sources: Sequence[Source], bar: tqdm) -> Iterator[bytes]:
        features = self.info.features
        serializer = example_serializer.ExampleSerializer(features.get_serialized_info())

        def record(source: Source) -> bytes:
            encoded: bytes = serializer.serialize_example(features.encode_example(self.example(source)))
            return encoded

        with ThreadPoolExecutor(self.jobs) as pool:
            futures = [pool.submit(record, source) for source in sources]
            try:
                for future in futures:
                    yield future.result()
                    bar.update()
            finally:
                pool.shutdown(cancel_futures=True)

    def _record(
        self, planned: Mapping[str, Mapping[str, Sequence[Source]]], shards: Mapping[str, Shard], folder: Path
    ) -> None:
        splits = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(sources) for sources in of_split.values()],
                num_bytes=sum((folder / name).stat().st_size for name in of_split),
                filename_template=self._get_filename_template(split),
            )
            for split, of_split in planned.items()
        ]
        self.info.set_splits(tfds.core.splits.SplitDict(splits))
        record = BuildRecord(
            as_is=self.as_is,
            classes={label: list(names) for label, names in self.classes().items()},
            facts=self.facts(),
            shards={
                name: {"records": shard.records, "sha256": shard.sha256} for name, shard in shards.items()
            },
        )
        write_bytes(folder / BUILD_RECORD, json.dumps(record._asdict(), indent=1).encode())

    def _check(self, sources: Mapping[str, Sequence[Source]]) -> None:
        """That every file is there, no key is there twice and counts are the published ones."""
        for split, of_split in sources.items():
            keys = [source.key for source in of_split]
            if len(set(keys)) < len(keys):
                twice = next(key for key in keys if keys.count(key) > 1)
                raise IcmError(f"{self.name}: {twice} is listed twice in {split}; remove one")
            missing = [(s.key, file) for s in of_split for file in s.files if not file.is_file()]
            if missing:
                key, file = missing[0]
                more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
                raise IcmError(
                    f"{file}: missing, {split} example {key} needs it{more}; extract the archive again, "
                    "or take the example out of its list"
                )
            if not self.as_is and len(of_split) != self.PUBLISHED.get(split, len(of_split)):
                raise IcmError(
                    f"{self.name}: found {len(of_split):,} examples of {split}, the published set has "
                    f"{self.PUBLISHED[split]:,}; complete it, or build what is there with --as-is"
                )

    def _fingerprint(self, sources: Sequence[Source]) -> str:
        """Of names, sizes and times of all files: hashing their content would take as long as building."""
        digest = hashlib.sha256(repr((self.info.full_name, self.features(), self.as_is)).encode())
        for source in sources:
            digest.update(source.key.encode())
            for file in source.files:
                state = file.stat()
                digest.update(repr((file.name, state.st_size, state.st_mtime_ns)).encode())
        return digest.hexdigest()


@contextlib.contextmanager
def _locked(staging: Path) -> Iterator[None]:
    """Two builds of one data set would write over each other. The lock ends with its process, however that ends."""
    staging.mkdir(exist_ok=True)
    with (staging / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise IcmError(f"{staging}: another process builds this data set; wait for it") from None
        yield


def image_feature() -> tfds.features.Image:
    """A photo, stored as the bytes of its file."""
    return tfds.features.Image(shape=(None, None, 3))


def map_feature() -> tfds.features.Image:
    """A map of 8-bit numbers [h, w, 1], stored as grey PNG."""
    return tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png")


def float_map_feature(*channels: int) -> tfds.features.Tensor:
    """A map [h, w] or [h, w, channels] of float32, stored bit by bit."""
    return tfds.features.Tensor(shape=(None, None, *channels), dtype=np.float32, encoding="zlib")
