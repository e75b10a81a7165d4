"""Where objectives of dense tasks take batches from: rendered scenes, a built data set, or photos that networks label.

{"name": "scenes", …} ─► SceneConfig ──┐
{"name": "built", …} ──► BuiltConfig ──┼─► batches(tasks, …) for training, held_out(tasks) for validation
{"name": "taught", …} ─► TaughtConfig ─┘
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from icm_jax import plain_values
from icm_jax.data.crops import PhotoSource
from icm_jax.data.datasets import BuiltSet, open_set
from icm_jax.data.recipes import Middle, ScaleAndCrop, get_recipe
from icm_jax.data.scenes import SceneSource, scene_batches
from icm_jax.data.task_batches import Batch, source_batches, source_samples, task_batches, task_samples
from icm_jax.data.taught import TaughtSource, load_teacher, split_photos
from icm_jax.errors import IcmError

SCENE_LABELS = {"edge": "boundary"}  # what a task's label is called among a scene's, where the names differ
DATASETS = {"nyud_mt": "nyud", "pascal_mt": "pascal"}  # built sets, and what their tasks are listed under
CLASSES = {"nyud": 40, "pascal": 21}  # that those tasks predict


class DenseSource(Protocol):
    """Batches {"image": uint8 [b, h, w, 3], a label for each task, "id": int32 [b]}."""

    @property
    def dataset(self) -> str:
        """Under which name `icm_jax.tasks.dense.TASKS` lists the tasks."""
        ...

    @property
    def batch_size(self) -> int:
        """Rows of a whole batch."""
        ...

    def batches(
        self, tasks: Sequence[str], seed: int, share: tuple[int, int] = (0, 1), first: int = 0
    ) -> Iterator[Batch]:
        """Endless augmented batches from number `first` on; see `task_batches`."""
        ...

    def held_out(self, tasks: Sequence[str]) -> Iterator[Batch]:
        """A few batches of other examples, the same every time, not augmented."""
        ...


@dataclass(frozen=True)
class SceneConfig:
    """How many scenes, of which size; `folder` keeps rendered ones for the next run."""

    count: int = 2000
    size: int = 128
    seed: int = 1
    batch_size: int = 8
    folder: str = ""

    @property
    def dataset(self) -> str:
        return "scenes"

    def batches(
        self, tasks: Sequence[str], seed: int, share: tuple[int, int] = (0, 1), first: int = 0
    ) -> Iterator[Batch]:
        scenes = scene_batches(self._source(self.seed, self.count), self.batch_size, seed, share, first)
        return (_chosen(batch, tasks) for batch in scenes)

    def held_out(self, tasks: Sequence[str]) -> Iterator[Batch]:
        """One batch, of scenes of another seed."""
        source = self._source(self.seed + 1, self.batch_size)
        yield _chosen(_stacked([source[i] for i in range(len(source))]), tasks)

    def _source(self, seed: int, count: int) -> SceneSource:
        return SceneSource(count, self.size, seed, Path(self.folder) if self.folder else None)


@dataclass(frozen=True)
class BuiltConfig:
    """A data set that `icm data build` made.

    Attributes:
        set: its name, such as "nyud_mt" or "nyud_mt/invpt".
        recipe: augmentation, one of `icm_jax.data.recipes.RECIPES`.
        batch_size: rows of a whole batch.
        threads: that read and augment ahead.
        held_out_count: pictures of the validation split that validations look at.
        data_dir: where data sets are kept; "" for TFDS's place.
    """

    set: str = "nyud_mt"
    recipe: str = "invpt-nyud"
    batch_size: int = 2
    threads: int = 4
    held_out_count: int = 32
    data_dir: str = ""

    def __post_init__(self) -> None:
        get_recipe(self.recipe)
        if self.set.partition("/")[0] not in DATASETS:
            raise IcmError(f"data.set={self.set!r} has no dense tasks; choose one of {', '.join(DATASETS)}")

    @property
    def dataset(self) -> str:
        return DATASETS[self.set.partition("/")[0]]

    def batches(
        self, tasks: Sequence[str], seed: int, share: tuple[int, int] = (0, 1), first: int = 0
    ) -> Iterator[Batch]:
        train = get_recipe(self.recipe).train
        return task_batches(
            self._opened(tasks), "train", tasks, train, self.batch_size, seed, share, first, self.threads
        )

    def held_out(self, tasks: Sequence[str]) -> Iterator[Batch]:
        """The first pictures of the validation split, as they are evaluated."""
        evaluate = get_recipe(self.recipe).evaluate
        samples = task_samples(self._opened(tasks), "validation", tasks, evaluate, threads=self.threads)
        yield from _in_batches(islice(samples, self.held_out_count), self.batch_size)

    def _opened(self, tasks: Sequence[str]) -> BuiltSet:
        built = open_set(self.set, Path(self.data_dir) if self.data_dir else None)
        there, wanted = len(built.record.classes["semseg"]), CLASSES[self.dataset]
        if "semseg" in tasks and there != wanted:
            raise IcmError(
                f"{built.name} has {there} classes, models of {self.dataset} predict {wanted}; build another archive"
            )
        return built


@dataclass(frozen=True)
class TaughtConfig:
    """Photos without labels; a published network for each task labels them. Tasks are those of PASCAL-Context.

    Training takes random parts of photos that are scaled first, mirrored or not, as InvPT does; validation the middle.

    Attributes:
        folder: of photos.
        crop: pixels a side of what a model is given.
        scales: least and largest factor that a photo is scaled by before its part is taken.
        batch_size: rows of a whole batch.
        weights: a folder that holds the networks' published files, or the file of the only one; "" looks where
            `ICM_WEIGHTS` says; "random" draws weights, for trying a config without the files.
        labels: a folder that keeps labels for the next run; "" keeps them in memory alone.
        threads: that read and augment ahead.
        held_out_count: photos that validations look at; they are not trained on.
    """

    folder: str = ""
    crop: int = 128
    scales: tuple[float, float] = (0.5, 2.0)
    batch_size: int = 8
    weights: str = ""
    labels: str = ""
    threads: int = 1
    held_out_count: int = 32

    def __post_init__(self) -> None:
        if min(self.crop, self.batch_size) < 1:
            raise IcmError(f"data.crop={self.crop} and data.batch_size={self.batch_size} must be at least 1")
        if not 0 < self.scales[0] <= self.scales[1] <= 8:
            raise IcmError(f"data.scales={self.scales} must rise, and be above 0 and at most 8")

    @property
    def dataset(self) -> str:
        return "pascal"

    def batches(
        self, tasks: Sequence[str], seed: int, share: tuple[int, int] = (0, 1), first: int = 0
    ) -> Iterator[Batch]:
        transform = ScaleAndCrop((self.crop, self.crop), self.scales)
        source = _taught(self, tuple(dict.fromkeys((*tasks, *transform.needs))), False)
        return source_batches(source, tasks, transform, self.batch_size, seed, share, first, self.threads)

    def held_out(self, tasks: Sequence[str]) -> Iterator[Batch]:
        """The middle of the photos that are not trained on."""
        samples = source_samples(
            _taught(self, tuple(tasks), True), tasks, Middle((self.crop, self.crop)), threads=self.threads
        )
        yield from _in_batches(samples, self.batch_size)


@lru_cache(maxsize=2)  # every validation asks for the held-out photos, and their labels take long to make
def _taught(config: TaughtConfig, tasks: tuple[str, ...], held_out: bool) -> TaughtSource:
    if not config.folder:
        raise IcmError("data.folder is not set; name a folder of photos: --config.data.folder=PHOTOS")
    if len(tasks) > 1 and Path(config.weights).is_file():
        raise IcmError(
            f"data.weights={config.weights!r} is one file, but {' and '.join(tasks)} have a network each (crops are "
            "judged by semseg); name a folder that holds their published files"
        )
    paths = split_photos(config.folder, config.held_out_count)[held_out]
    folder = Path(config.labels) if config.labels else None
    teachers = [load_teacher(task, config.weights, folder) for task in tasks]
    return TaughtSource(PhotoSource(config.folder, 1, paths), teachers)


SOURCES: dict[str, type[Any]] = {"scenes": SceneConfig, "built": BuiltConfig, "taught": TaughtConfig}


def read_source(values: Mapping[str, Any]) -> DenseSource:
    """The section `data` of a config: `name` "scenes" (by default), "built" or "taught", and the fields of that kind.

    Raises:
        IcmError: unknown name or field, or an impossible value.
    """
    source: DenseSource = plain_values.to_spec({"name": "scenes", **values}, SOURCES, "data")
    return source


def source_values(source: DenseSource) -> dict[str, Any]:
    """Inverse of `read_source`: plain values that JSON can hold."""
    name = next(name for name, kind in SOURCES.items() if type(source) is kind)
    return plain_values.to_values(source, name)


def _chosen(scenes: Batch, tasks: Sequence[str]) -> Batch:
    """Only the labels of the tasks, under their names."""
    labels = {task: scenes[SCENE_LABELS.get(task, task)] for task in tasks}
    return {"image": scenes["image"], **labels, "id": scenes["id"]}


def _in_batches(samples: Iterator[Mapping[str, Any]], size: int) -> Iterator[Batch]:
    """Stacked rows; the last batch may have fewer."""
    while rows := list(islice(samples, size)):
        yield _stacked(rows)


def _stacked(rows: Sequence[Mapping[str, Any]]) -> Batch:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
