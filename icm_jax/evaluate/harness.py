"""Every image through every codec: a real file, what is decoded from it, what a network makes of that.

    image ──codec, quality──► file ──► decoded ──┬──► psnr (without a task: ms_ssim)
      │                                          └──► network ──► counters ──► a line of records.jsonl
      └──────────────────────── network ──────────────────┘

The unit of work is an image with all its codecs. Units are spread over processes; a unit's numbers do not depend on
which process has it, and sums run over images in their order, so any number of processes gives the same result.
"""

import hashlib
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from icm_jax.data.image_io import read_image, write_image
from icm_jax.errors import IcmError
from icm_jax.evaluate.anchors import AnchorAt, AnchorAtRate
from icm_jax.evaluate.image_quality import ms_ssim, psnr
from icm_jax.evaluate.judge import Judge, label_digest
from icm_jax.evaluate.measure import Coded, code, estimated_bpp, warm_up
from icm_jax.evaluate.protocol import OWN, Protocol
from icm_jax.evaluate.records import (
    RECORDS,
    UNCOMPRESSED,
    Key,
    Record,
    key_of,
    line_of,
    picture_name,
    plain_counters,
    read_records,
)
from icm_jax.evaluate.subjects import FeatureCodec, JointCodec, PredictionCodec, Subject, file_extension
from icm_jax.tasks.task import Features


class Bench(NamedTuple):
    """What measures: codecs at their points, and a judge unless only the pictures are compared."""

    subjects: tuple[Subject, ...]
    judge: Judge | None = None
    protocol: Protocol = OWN


class Options(NamedTuple):
    """How it is measured.

    Attributes:
        jobs: processes.
        keep: the files stay, in `files/` of the output; else each is deleted once it was decoded.
        pictures: so many images, the first ones, are written as decoded, to `pictures/` of the output.
    """

    jobs: int = 1
    keep: bool = False
    pictures: int = 0


class Unit(NamedTuple):
    """One image; `done` are the keys of its records of an earlier run."""

    file: Path
    done: frozenset[Key]
    wants_pictures: bool


class Row(NamedTuple):
    """An image's records by point: of every subject in its order, after that of the original with a network."""

    uncompressed: Record | None
    records: tuple[Record, ...]


@dataclass
class ImageRunner:
    """Measures images one after the other, in one process."""

    bench: Bench
    out: Path
    keep: bool
    warm: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)

    def __call__(self, unit: Unit) -> tuple[list[Key], list[Record]]:
        """Keys of all records of the image, and the records that were not done before.

        Raises:
            IcmError: an unreadable image, a label that does not fit, or a codec that changes the size.
        """
        photo = read_image(unit.file)
        judge, protocol = self.bench.judge, self.bench.protocol
        photo_size = (photo.shape[0], photo.shape[1])
        label = judge.label(unit.file, photo_size) if judge else None
        image = protocol.prepare(photo)
        identity = {
            "image": unit.file.name,
            "image_sha256": hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest(),
            "label_sha256": label_digest(label),
            "judge": _judged_how(judge, protocol),
        }
        heads = [_head(subject) | identity for subject in self.bench.subjects]
        original = {"codec": UNCOMPRESSED, "quality": 0, "hash": ""} | identity
        keys = [key_of(head) for head in ([original] if judge and judge.answers else []) + heads]
        todo = [
            (subject, head)
            for subject, head in zip(self.bench.subjects, heads, strict=True)
            if key_of(head) not in unit.done or (unit.wants_pictures and self._lacks_picture(unit, subject))
        ]
        if unit.wants_pictures:
            _write_picture(self.out / "pictures" / f"{unit.file.stem}.png", image)
        if not todo and unit.done.issuperset(keys):
            return keys, []
        coded = [self._code(unit, subject, image) for subject, _ in todo]
        records = [
            head | self._compared(subject, image, one)
            for (subject, head), one in zip(todo, coded, strict=True)
        ]
        if judge:
            decoded = [_judged(subject, one) for (subject, _), one in zip(todo, coded, strict=True)]
            own, counted = judge.count(unit.file, image, decoded, label, photo_size)
            if own is not None:
                size = {"height": image.shape[0], "width": image.shape[1]}
                records, counted = [original | size, *records], [own, *counted]
            for record, counters in zip(records, counted, strict=True):
                record |= {"scores": finite(judge.scores(counters)), "counts": plain_counters(counters)}
        return keys, [record for record in records if key_of(record) not in unit.done]

    def _code(self, unit: Unit, subject: Subject, image: np.ndarray) -> Coded:
        # One warm-up a codec family and size: qualities share compiled programs, classical codecs have none.
        is_classical = isinstance(subject.codec, (AnchorAt, AnchorAtRate))
        if not is_classical and (subject.codec.name, image.shape) not in self.warm:
            warm_up(subject.codec, image)
            self.warm.add((subject.codec.name, image.shape))
        name = f"{unit.file.stem}.{file_extension(subject.codec)}"
        if self.keep:
            folder = self.out / "files" / _point_name(subject)
            folder.mkdir(parents=True, exist_ok=True)
            coded = code(subject.codec, image, folder / name)
        else:
            with tempfile.TemporaryDirectory() as folder_name:
                coded = code(subject.codec, image, Path(folder_name, name))
        expected = image.shape if _makes_pictures(subject) else (*image.shape[:2], coded.decoded.shape[-1])
        if coded.decoded.shape != expected and not isinstance(subject.codec, FeatureCodec):
            raise IcmError(
                f"{unit.file}: {_point_name(subject)} decodes to {list(coded.decoded.shape)}, expected "
                f"{list(expected)}; leave out this codec for such images"
            )
        if unit.wants_pictures and _makes_pictures(subject):
            _write_picture(self._picture(unit, subject), coded.decoded)
        return coded

    def _compared(self, subject: Subject, image: np.ndarray, coded: Coded) -> Record:
        height, width = image.shape[:2]
        values: Record = {
            "height": height,
            "width": width,
            "bytes": len(coded.data),
            "file_sha256": hashlib.sha256(coded.data).hexdigest(),
            "bpp": 8 * len(coded.data) / (height * width),
            "estimated_bpp": estimated_bpp(subject.codec, image),
            "encode_seconds": coded.encode_seconds,
            "decode_seconds": coded.decode_seconds,
        }
        if not _makes_pictures(subject):
            return values
        scores = {"psnr": psnr(image, coded.decoded)}
        if self.bench.judge is None:
            scores["ms_ssim"] = ms_ssim(image, coded.decoded)
        return values | finite(scores)

    def _lacks_picture(self, unit: Unit, subject: Subject) -> bool:
        return _makes_pictures(subject) and not self._picture(unit, subject).exists()

    def _picture(self, unit: Unit, subject: Subject) -> Path:
        return self.out / "pictures" / picture_name(unit.file.stem, subject.curve, subject.quality)


def measure_images(
    make_bench: Callable[[], Bench], images: Sequence[Path], out: Path, options: Options
) -> tuple[Bench, list[Row]]:
    """Measures what an earlier run into `out` has not, and gives the rows of all images, in their order.

    Args:
        make_bench: called once in every process; has to be picklable with more than one job.

    Raises:
        IcmError: the first image that can not be measured. What was measured before it is kept.
    """
    bench = make_bench()
    if bench.judge is None and not all(map(_makes_pictures, bench.subjects)):
        raise IcmError("a codec of features decodes to no pictures; name its --task")
    if bench.judge and bench.judge.labels is not None:
        bench.judge.labels.check(images)
    _refuse_equal_names(images)
    out.mkdir(parents=True, exist_ok=True)
    path = out / RECORDS
    done = {key_of(record): record for record in read_records(path)}
    by_image: dict[str, set[Key]] = {}
    for key, record in done.items():
        by_image.setdefault(record["image"], set()).add(key)
    units = [
        Unit(file, frozenset(by_image.get(file.name, ())), index < options.pictures)
        for index, file in enumerate(images)
    ]
    keys: dict[Path, list[Key]] = {}
    with path.open("a", encoding="utf-8") as log, tqdm(total=len(units), unit="image", disable=None) as bar:
        for file, (unit_keys, records) in _measured(bench, make_bench, units, out, options):
            log.writelines(line_of(record) for record in records)
            log.flush()
            done |= {key_of(record): record for record in records}
            keys[file] = unit_keys
            bar.update()
    rows = [[done[key] for key in keys[file]] for file in images]
    has_originals = bench.judge is not None and bench.judge.answers is not None
    return bench, [Row(row[0], tuple(row[1:])) if has_originals else Row(None, tuple(row)) for row in rows]


def finite(scores: dict[str, float]) -> dict[str, float | None]:
    """The scores with None for those that are infinite or not a number, which JSON can not hold."""
    return {name: float(value) if np.isfinite(value) else None for name, value in scores.items()}


def _measured(
    bench: Bench, make_bench: Callable[[], Bench], units: Sequence[Unit], out: Path, options: Options
) -> Iterator[tuple[Path, tuple[list[Key], list[Record]]]]:
    """Units as they are done, in any order."""
    if options.jobs <= 1:
        runner = ImageRunner(bench, out, options.keep)
        for unit in units:
            yield unit.file, runner(unit)
        return
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share an accelerator
    context = multiprocessing.get_context("spawn")  # a forked JAX can hang
    pool = ProcessPoolExecutor(options.jobs, context, _start, (make_bench, out, options.keep))
    try:
        pending = {pool.submit(_run, unit): unit.file for unit in units}
        for future in as_completed(pending):
            outcome = future.result()
            if isinstance(outcome, str):
                raise IcmError(outcome)
            yield pending[future], outcome
    except BrokenProcessPool:
        raise IcmError(
            f"one of {options.jobs} processes ended by itself, perhaps for want of memory; run the same command "
            "again to go on, with fewer --jobs"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_RUNNER: list[ImageRunner] = []  # of this worker process


def _start(make_bench: Callable[[], Bench], out: Path, keep: bool) -> None:
    _RUNNER[:] = [ImageRunner(make_bench(), out, keep)]


def _run(unit: Unit) -> tuple[list[Key], list[Record]] | str:
    """An error comes back as its text: not every exception survives the way between processes."""
    try:
        return _RUNNER[0](unit)
    except IcmError as error:
        return str(error)


def _head(subject: Subject) -> dict[str, Any]:
    return {"codec": subject.codec.name, "quality": subject.quality, "hash": subject.codec.hash}


def _makes_pictures(subject: Subject) -> bool:
    return not isinstance(subject.codec, (PredictionCodec, JointCodec, FeatureCodec))


def _judged_how(judge: Judge | None, protocol: Protocol) -> str:
    """What tells records of one image and codec apart."""
    name = f" {protocol.name}" if protocol.published else ""
    return f"{judge.identity}{name}" if judge else ""


def _judged(subject: Subject, coded: Coded) -> np.ndarray | Features:
    """What a judge gets of a decoded file."""
    codec = subject.codec
    return Features(codec.tap, coded.decoded) if isinstance(codec, FeatureCodec) else coded.decoded


def _point_name(subject: Subject) -> str:
    return f"{subject.curve}-{subject.quality:g}"


def _write_picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def _refuse_equal_names(images: Sequence[Path]) -> None:
    stems: dict[str, Path] = {}
    for image in images:
        if image.stem in stems:
            raise IcmError(
                f"{image} and {stems[image.stem]} have one name, by which labels and files are told apart; "
                "rename one"
            )
        stems[image.stem] = image
