"""Batches of photos with labels of several tasks, from a built data set, through Grain.

    shards ─► wanted features, decoded ─► shuffle, repeat ─► transform ─► process's rows ─► batch

Every example is a function of (seed, its position): a run continues at batch n by asking for batch n, on any number
of processes and threads.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import grain.python as grain
import numpy as np

from icm_jax.data.crops import BlockOfRows
from icm_jax.data.datasets import BuiltSet, SampleSource
from icm_jax.data.recipes import Transform
from icm_jax.errors import IcmError

Batch = dict[str, np.ndarray]


class SampleReader(Protocol):
    """Random access to samples {"image", labels, "id": int32}; its text is stable, because Grain compares it."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...


class TaskSource:
    """Random access to the samples of a split with the labels of `tasks`, numbered.

    Elements: {"image", the labels, "id": int32}. Of human parts alone, pictures without people are left out: their
    labels count nowhere.

    Args:
        needs: labels a transform uses besides.

    Raises:
        IcmError: no task, a task the data set has no labels of, or no picture left.
    """

    def __init__(self, built: BuiltSet, split: str, tasks: Sequence[str], needs: Sequence[str] = ()) -> None:
        if not tasks:
            raise IcmError(f"{built.name}: no task is named; choose of {', '.join(built.info.features)}")
        self._samples = SampleSource(built, split, ("image", *dict.fromkeys((*tasks, *needs))))
        only_people = tuple(tasks) == ("human_parts",) and "has_people" in built.info.features
        self._chosen = _with_people(built, split) if only_people else range(len(self._samples))
        if not len(self._chosen):
            raise IcmError(f"{built.name}: no picture of {split} shows people; take another split or task")

    def __len__(self) -> int:
        return len(self._chosen)

    def __repr__(self) -> str:
        return f"TaskSource({self._samples!r}, {len(self)})"  # stable: Grain compares it

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self._samples[self._chosen[index]], "id": np.int32(self._chosen[index])}


def _with_people(built: BuiltSet, split: str) -> list[int]:
    flags = SampleSource(built, split, ["has_people"])
    return [i for i in range(len(flags)) if flags[i]["has_people"]]


class _Transformed(grain.RandomMapTransform):
    """A transform on all but the number of an example; only the labels of the tasks stay."""

    def __init__(self, transform: Transform, tasks: Sequence[str]) -> None:
        self._transform, self._kept = transform, ("image", *tasks)

    def random_map(self, element: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        sample = self._transform({name: value for name, value in element.items() if name != "id"}, rng)
        return {**{name: np.ascontiguousarray(sample[name]) for name in self._kept}, "id": element["id"]}


def task_batches(
    built: BuiltSet,
    split: str,
    tasks: Sequence[str],
    transform: Transform,
    batch_size: int,
    seed: int,
    share: tuple[int, int] = (0, 1),
    first: int = 0,
    threads: int = 1,
) -> Iterator[Batch]:
    """Endless shuffled batches {"image": uint8 [b, h, w, 3], a label for each task, "id": int32 [b]}.

    Args:
        batch_size: rows of a whole batch; `share` = (index, count) asks for one of `count` equal blocks of them.
        first: number of the first batch.
        threads: that read ahead; they change nothing but the speed.

    Raises:
        IcmError: as `TaskSource`; a batch that `count` does not divide.
    """
    source = _source(built, split, tasks, transform)
    return source_batches(source, tasks, transform, batch_size, seed, share, first, threads)


def source_batches(
    source: SampleReader,
    tasks: Sequence[str],
    transform: Transform,
    batch_size: int,
    seed: int,
    share: tuple[int, int] = (0, 1),
    first: int = 0,
    threads: int = 1,
) -> Iterator[Batch]:
    """`task_batches` of any numbered samples."""
    index, count = share
    if batch_size % count:
        raise IcmError(
            f"a batch of {batch_size} can not be shared by {count} processes; take a multiple of {count}"
        )
    data = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
    mapped = data.random_map(_Transformed(transform, tasks))
    rows = BlockOfRows(mapped, batch_size, index, count) if count > 1 else mapped
    batches = rows.batch(batch_size // count, drop_remainder=True).slice(slice(first, None))
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4)))


def task_samples(
    built: BuiltSet,
    split: str,
    tasks: Sequence[str],
    transform: Transform,
    share: tuple[int, int] = (0, 1),
    threads: int = 1,
) -> Iterator[dict[str, Any]]:
    """Every sample of a split once, in its order, transformed, not batched: for evaluation.

    Args:
        share: (index, count) asks for samples index, index + count, …

    Raises:
        IcmError: as `TaskSource`.
    """
    source = _source(built, split, tasks, transform)
    return source_samples(source, tasks, transform, share, threads)


def source_samples(
    source: SampleReader,
    tasks: Sequence[str],
    transform: Transform,
    share: tuple[int, int] = (0, 1),
    threads: int = 1,
) -> Iterator[dict[str, Any]]:
    """`task_samples` of any numbered samples."""
    index, count = share
    data = grain.MapDataset.source(source).seed(0)
    mapped = data.random_map(_Transformed(transform, tasks)).slice(slice(index, None, count))
    return iter(mapped.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4)))


def _source(built: BuiltSet, split: str, tasks: Sequence[str], transform: Transform) -> TaskSource:
    return TaskSource(built, split, tasks, transform.needs)
