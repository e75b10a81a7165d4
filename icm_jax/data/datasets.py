"""Data sets that `icm data build` made, as samples: decoded, in this project's conventions, without TensorFlow.

shard ─► record ─► only the wanted features ─► image uint8 [h, w, 3], class maps [h, w], depth, normals [h, w, 3]
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from icm_jax.data.build_record import BUILD_RECORD, BuildRecord, read_build_record
from icm_jax.data.image_io import decode_image
from icm_jax.errors import IcmError

Sample = dict[str, Any]


class BuiltSet(NamedTuple):
    """A built data set: its name with configuration, its folder, TFDS's information and ours."""

    name: str
    folder: Path
    info: Any
    record: BuildRecord

    @property
    def splits(self) -> dict[str, int]:
        """Examples of every split."""
        return {name: split.num_examples for name, split in self.info.splits.items()}


def default_data_dir() -> Path:
    """Where TFDS keeps data sets: `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`."""
    return Path(_tfds().core.constants.DATA_DIR).expanduser()


def find_sets(data_dir: Path | None = None) -> list[Path]:
    """Folders of all data sets that were built by this project, sorted."""
    folder = data_dir or default_data_dir()
    found = [path.parent for depth in ("*/*", "*/*/*") for path in folder.glob(f"{depth}/{BUILD_RECORD}")]
    return sorted(path for path in found if path.name[:1].isdigit())  # others are builds that go on


def open_set(name: str, data_dir: Path | None = None) -> BuiltSet:
    """A data set by its name, `NAME` or `NAME/CONFIG`.

    Raises:
        IcmError: it was not built, or several configurations were and none is named.
    """
    root = data_dir or default_data_dir()
    sets = {path: str(path.parent.relative_to(root)) for path in find_sets(data_dir)}
    fitting = [path for path, of_path in sets.items() if of_path == name or of_path.startswith(f"{name}/")]
    if not fitting:
        built = ", ".join(sets.values()) or "none is"
        raise IcmError(f"{root}: {name} is not built there, but {built}; see `icm data build {name} --help`")
    configs = sorted({sets[path] for path in fitting})
    if len(configs) > 1:
        raise IcmError(f"{root}: {name} is built as {' and '.join(configs)}; name one of them")
    return read_set(fitting[-1], configs[0])


def read_set(folder: Path, name: str) -> BuiltSet:
    """The data set of a folder.

    Raises:
        IcmError: TFDS's own files or ours are damaged.
    """
    record = read_build_record(folder)
    try:
        info = _tfds().builder_from_directory(folder).info
    except Exception as error:  # whatever its parsers of JSON and protocol buffers meet
        raise IcmError(f"{folder}: not a readable data set ({error}); build it again") from None
    return BuiltSet(name, folder, info, record)


class SampleSource:
    """Random access to the samples of a split.

    Elements hold `id` (str) and the wanted features: images uint8 [h, w, 3], maps uint8 [h, w], depth and normals
    float32, lists of things as lists of dicts.

    Args:
        features: names of those to decode, besides `id`; None for all.

    Raises:
        IcmError: no such split or feature.
    """

    def __init__(self, built: BuiltSet, split: str, features: Sequence[str] | None = None) -> None:
        tfds = _tfds()
        if split not in built.splits:
            raise IcmError(f"{built.name} has no split {split!r}; choose one of {', '.join(built.splits)}")
        stored = built.info.features
        wanted = tuple(stored) if features is None else ("id", *features)
        unknown = [name for name in wanted if name not in stored]
        if unknown:
            raise IcmError(f"{built.name} has no {unknown[0]!r}; choose of {', '.join(stored)}")
        self.name, self.split = built.name, split
        self._images = [name for name in wanted if isinstance(stored[name], tfds.features.Image)]
        self._features = tfds.features.FeaturesDict({name: stored[name] for name in wanted})
        self._decoders = {name: tfds.decode.SkipDecoding() for name in self._images}
        self._records = tfds.builder_from_directory(built.folder).as_data_source(
            split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
        )

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"SampleSource({self.name!r}, {self.split!r}, {len(self)})"  # stable: Grain compares it

    def __getitem__(self, index: int) -> Sample:
        stored = self._features.deserialize_example_np(self._records[index], decoders=self._decoders)
        return {
            name: self._picture(name, value, stored["id"].decode()) if name in self._images else _plain(value)
            for name, value in stored.items()
        }

    def _picture(self, name: str, data: bytes, key: str) -> np.ndarray:
        """A photo by the rules of `image_io`, or a map of numbers."""
        if self._features[name].shape[-1] == 3:
            return decode_image(data, f"{name} of {key} in {self.name}")
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image)


def _plain(value: Any) -> Any:
    """Text as str, lists of things as a list of dicts instead of a dict of lists, masks as what their JSON says."""
    if isinstance(value, Mapping):
        columns = {name: [_plain(entry) for entry in column] for name, column in value.items()}
        things = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [
            {**thing, "segmentation": json.loads(thing["segmentation"])} if "segmentation" in thing else thing
            for thing in things
        ]
    return value.decode() if isinstance(value, bytes) else value


def _tfds() -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise IcmError(
            "data sets need tensorflow-datasets, which is not installed; pip install 'icm-jax[data]'"
        ) from error
    return tfds
