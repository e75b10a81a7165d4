"""Is a built data set whole, and are its labels what they should be? `icm data check`."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from icm_jax.data.builders import shards
from icm_jax.data.datasets import BuiltSet, Sample, SampleSource
from icm_jax.data.label_rules import KINDS
from icm_jax.errors import IcmError
from icm_jax.metrics.meter import IGNORE

LONGEST_NORMAL = 1.1


class SplitReport(NamedTuple):
    """What was seen in a split.

    Attributes:
        examples: how many.
        smallest: (height, width) of the smallest image by pixels.
        largest: likewise.
        valid: share of pixels that count, by label.
        seen: how many classes occur, by label; things by category where there are things.
    """

    split: str
    examples: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    valid: dict[str, float]
    seen: dict[str, int]


def check_set(built: BuiltSet) -> list[SplitReport]:
    """Compares all shards with their digests, then decodes every sample.

    Raises:
        IcmError: the first thing that is wrong: file or sample, what was expected, what to do.
    """
    for name, expected in built.record.shards.items():
        found = shards.content(built.folder / name)
        if found != (expected["records"], expected["sha256"]):
            raise IcmError(
                f"{built.folder / name}: holds {found[0]} records of digest {found[1][:12]}, built were "
                f"{expected['records']} of {expected['sha256'][:12]}; build the data set again with --force"
            )
    return [_check_split(built, split) for split in built.splits]


def _check_split(built: BuiltSet, split: str) -> SplitReport:
    source = SampleSource(built, split)
    sizes: set[tuple[int, int]] = set()
    valid: dict[str, list[float]] = {}
    seen: dict[str, set[int]] = {}
    samples = (source[i] for i in range(len(source)))
    for sample in tqdm(samples, total=len(source), desc=f"{built.name} {split}", disable=None):
        sizes.add(sample["image"].shape[:2])
        try:
            for name, share in _valid_shares(sample, built.record.classes):
                valid.setdefault(name, []).append(share)
            for name, classes in _classes(sample, built):
                seen.setdefault(name, set()).update(classes)
        except IcmError as error:
            raise IcmError(
                f"{built.folder}: {split} sample {sample['id']}: {error}; build it again"
            ) from None
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    return SplitReport(
        split,
        len(source),
        ordered[0],
        ordered[-1],
        {name: float(np.mean(shares)) for name, shares in valid.items()},
        {name: len(classes) for name, classes in seen.items()},
    )


def _valid_shares(sample: Sample, classes: Mapping[str, list[str]]) -> Iterator[tuple[str, float]]:
    """Share of pixels that count of every label, which is checked on the way."""
    for name in KINDS.keys() & sample.keys():
        label = sample[name]
        if label.shape[:2] != sample["image"].shape[:2]:
            raise IcmError(f"{name} is {_as_text(label.shape)}, its image {_as_text(sample['image'].shape)}")
        yield name, float(_valid(name, label, len(classes.get(name, ()))).mean())


def _valid(name: str, label: np.ndarray, classes: int) -> np.ndarray:
    match KINDS[name]:
        case "classes":
            wrong = label[(label >= classes) & (label != IGNORE)]
            if wrong.size:
                raise IcmError(f"{name} has class {wrong[0]}, the limit is {classes - 1}")
            return label != IGNORE
        case "depth":
            if not np.isfinite(label).all() or label.min() < 0:
                raise IcmError("depth is not finite metres from 0")
            return label > 0
        case "normals":
            length = np.linalg.norm(label, axis=-1)
            if not np.isfinite(length).all() or length.max() > LONGEST_NORMAL:
                raise IcmError(f"normals have lengths up to {length.max():.3g}, expected 1")
            return length > 0
        case _:
            return np.ones(label.shape, bool)


def _classes(sample: Sample, built: BuiltSet) -> Iterator[tuple[str, set[int]]]:
    """Classes that occur, by label."""
    for name, names in built.record.classes.items():
        numbers = np.unique(sample[name])
        if numbers[numbers != IGNORE].max(initial=0) >= len(names) and name not in KINDS:
            raise IcmError(f"{name} {numbers.max()} is none of {len(names)}")
        yield name, set(numbers[numbers != IGNORE].tolist()) if name in KINDS else set(numbers.tolist())
    if "categories" in built.record.facts:
        known = {category["id"] for category in built.record.facts["categories"]}
        of_things = {int(thing["category_id"]) for thing in sample["objects"]}
        if of_things - known:
            raise IcmError(f"category {min(of_things - known)} is none of the {len(known)} known")
        yield "category_id", of_things


def as_table(reports: list[SplitReport]) -> str:
    """The reports as text, a line a split."""
    return "\n".join(_line(report) for report in reports)


def _line(report: SplitReport) -> str:
    sizes = _as_text(report.smallest)
    if report.largest != report.smallest:
        sizes += f" to {_as_text(report.largest)}"
    parts = [f"{name} {100 * share:.1f} % valid" for name, share in sorted(report.valid.items())]
    parts += [f"{count} classes of {name}" for name, count in report.seen.items()]
    return f"{report.split}: {report.examples:,} examples of {sizes}" + "".join(f"; {part}" for part in parts)


def _as_text(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]}"


def as_records(reports: list[SplitReport]) -> list[dict[str, Any]]:
    """The reports for JSON."""
    return [report._asdict() for report in reports]
