"""Files to files: what `icm compress` and `icm decompress` do with lists, folders and globs.

A bad input is reported and left out; the others are written. Outputs appear whole or not at all.
"""

import glob
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.store import StoredAdapter
from icm_jax.bitstream import container
from icm_jax.bitstream.header import NO_HASH
from icm_jax.canvas import plan
from icm_jax.codec import Codec
from icm_jax.data.image_io import EXTENSIONS, make_folder, read_image, write_bytes, write_image
from icm_jax.errors import IcmError
from icm_jax.recognizers.quality_map import photo_map, read_map
from icm_jax.recognizers.registry import load_recognizer

CHUNK = 16  # images in memory at a time
HUMAN, ALL_TASKS = "human", "all"  # what may be asked for beside the name of a picture
QualityMap = Callable[[Path, np.ndarray], np.ndarray]  # a file and its image -> uint8 [h, w]
# What nobody means as the name of a folder.
FILE_SUFFIXES = (".icm", *EXTENSIONS, ".avif", ".bmp", ".gif", ".jxl", ".ppm", ".tif", ".tiff")


class Coded(NamedTuple):
    """One file that was written."""

    input: Path
    output: Path
    width: int
    height: int
    bytes: int
    bpp: float
    codec: str
    quality: int

    def __str__(self) -> str:
        size = f"{self.width}×{self.height}"
        cost = f"{self.bytes:,} bytes  {self.bpp:.3f} bpp"
        return f"{self.input} -> {self.output}  {size}  {cost}  {self.codec} q{self.quality}"


class Outcome(NamedTuple):
    """What was written, and a line for every input that failed."""

    done: list[Coded]
    failures: list[str]


def find_inputs(inputs: Sequence[str], extensions: Sequence[str]) -> list[Path]:
    """Files behind names, folders and globs, in order, without repeats.

    Raises:
        IcmError: a name, folder or glob stands for nothing.
    """
    found: dict[Path, None] = {}
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            matches = sorted(file for file in path.iterdir() if file.suffix.lower() in extensions)
            if not matches:
                raise IcmError(f"{path}: the folder holds no {', '.join(extensions)} file")
        elif path.exists():
            matches = [path]
        else:
            matches = [
                Path(match) for match in sorted(glob.glob(name, recursive=True)) if Path(match).is_file()
            ]
            if not matches:
                raise IcmError(f"{name}: no such file, folder or glob; check the path")
        found |= dict.fromkeys(matches)
    return list(found)


def compress_files(
    codec: Codec,
    inputs: Sequence[str],
    output: Path | None,
    force: bool,
    alignment: str,
    convert_16bit: bool,
    maps: Path | None = None,
) -> Outcome:
    """Compresses every input with one codec.

    Args:
        maps: for an adapter that takes a quality map beside the image, the folder of grey PNG files named like the
            images; without one, maps are made by the network that the adapter was trained with.
    """
    quality_map = _quality_maps(codec, maps)
    jobs, failures = plan_outputs(find_inputs(inputs, EXTENSIONS), output, ".icm", (".icm",), force)
    done: list[Coded] = []
    with tqdm(total=len(jobs), unit="image", disable=None if len(jobs) > 1 else True) as bar:
        for chunk in _chunks(jobs):
            images, bad = _read_all([source for source, _ in chunk], convert_16bit)
            failures += bad
            if quality_map is not None:
                images = _with_maps(images, quality_map, failures)
            # Images of one canvas next to each other share a device call.
            ready = [(source, target, images[source]) for source, target in chunk if source in images]
            ready.sort(key=lambda job: plan(job[2].shape[0], job[2].shape[1], alignment)[2:4])
            streams = codec.compress_batch([image for _, _, image in ready], alignment)
            for (source, target, image), data in zip(ready, streams, strict=True):
                with reporting(failures):
                    write_bytes(target, data)
                    done.append(record(source, target, image.shape, len(data), codec.name, codec.quality))
            bar.update(len(chunk))
    return Outcome(done, failures)


def _quality_maps(codec: Codec, maps: Path | None) -> QualityMap | None:
    """What makes the map of an image from its file and pixels, where the adapter wants any."""
    adapter = codec.adapter
    if adapter is None or adapter.codec_spec.input_channels == 3:
        if maps is not None:
            raise IcmError(f"maps of {maps} have no use: the codec has no adapter that takes quality maps")
        return None
    if maps is not None:
        return lambda source, image: read_map(maps / f"{source.stem}.png", (image.shape[0], image.shape[1]))
    network = load_recognizer(adapter.task)
    return lambda source, image: photo_map(network, image)


def _with_maps(
    images: dict[Path, np.ndarray], quality_map: QualityMap, failures: list[str]
) -> dict[Path, np.ndarray]:
    """The images with their maps as a fourth channel; a line for each that has none."""
    mapped: dict[Path, np.ndarray] = {}
    for source, image in images.items():
        with reporting(failures):
            mapped[source] = np.dstack([image, quality_map(source, image)])
    return mapped


def decompress_files(
    codec: str | None,
    inputs: Sequence[str],
    output: Path | None,
    force: bool,
    adapter: Path | None = None,
    task: str | None = None,
    max_pixels: int = container.MAX_PIXELS,
) -> Outcome:
    """Decodes every input, each with the codec it names unless one is given, and with an adapter if it needs one.

    Args:
        task: which of an adapter's pictures; `ALL_TASKS`: each in a file of its own, `photo.TASK.png`, from one
            decoding; `HUMAN`: the image for people; None: the adapter's first picture, or that image. An adapter that
            decodes to features gives `.npy` files, float32 [h, w, c].
    """
    sources, foreign = split_foreign(find_inputs(inputs, (".icm",)))
    every = task == ALL_TASKS
    # The name of an included adapter is looked up when the codec is known; all of those decode to pictures.
    stored = adapter_store.load(adapter) if adapter and adapter.is_file() else adapter
    features = task is None and isinstance(stored, StoredAdapter) and not stored.codec_spec.pictures
    suffix, valid = (".npy", (".npy",)) if features else (".png", EXTENSIONS)
    jobs, failures = plan_outputs(sources, output, suffix, valid, force or every)
    failures += foreign
    loaded: dict[tuple[str, int, str], Codec] = {}
    done: list[Coded] = []
    for source, target in tqdm(jobs, unit="image", disable=None if len(jobs) > 1 else True):
        with reporting(failures, f"{source}: "):
            data = read_stream(source)
            _refuse_wrong_kind(data, task)
            reader = _reader(data, codec, None if task == HUMAN else stored, loaded)
            if features:
                write_bytes(target, _npy(reader.features(data, max_pixels)))
                header = container.read_header(data)
                done.append(
                    record(
                        source, target, (header.height, header.width), len(data), reader.name, reader.quality
                    )
                )
                continue
            targets = _one_a_picture(target, reader.pictures, force) if every else {"": target}
            images = (
                reader.decompress_pictures(data, max_pixels)
                if every
                else {"": reader.decompress(data, None if task == HUMAN else task, max_pixels)}
            )
            for name, image in images.items():
                write_image(targets[name], image)
                done.append(
                    record(source, targets[name], image.shape, len(data), reader.name, reader.quality)
                )
    return Outcome(done, failures)


def _refuse_wrong_kind(data: bytes, task: str | None) -> None:
    """Raises IcmError if a task is asked of a stream for people, or their image of a stream for machines."""
    header = container.read_header(data)
    human = header.adapter_hash == NO_HASH
    if human and task not in (None, HUMAN):
        raise IcmError(
            f"a stream for people, made without an adapter, holds no picture for task {task!r}; "
            f"decode it with --task {HUMAN}, or compress the image with --adapter"
        )
    if not human and task == HUMAN:
        raise IcmError(
            f"a stream for machines, made with adapter {header.adapter_id}, holds no image for people; "
            "name one of the adapter's tasks, or compress the image without --adapter"
        )


def _one_a_picture(target: Path, names: Sequence[str], force: bool) -> dict[str, Path]:
    """A file for each picture, beside `target`; raises IcmError for one that must not be replaced."""
    targets = {name: target.with_name(f"{target.stem}.{name}{target.suffix}") for name in names}
    for path in targets.values():
        if path.exists() and not force:
            raise IcmError(f"{path}: exists; pass --force to replace it, or -o for another place")
    return targets


def split_foreign(sources: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Sources that may be streams, and a line for each that is none: said before outputs are looked at, since
    `icm decompress photo.png` would otherwise complain that photo.png exists."""
    streams: list[Path] = []
    foreign: list[str] = []
    for source in sources:
        before = len(foreign)
        with reporting(foreign, f"{source}: "):
            container.read_header(read_stream(source))
        if len(foreign) == before:
            streams.append(source)
    return streams, foreign


def read_stream(path: Path) -> bytes:
    """Bytes of a stream file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise IcmError(f"can not be read ({error.strerror}); check the path and its permissions") from None


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _reader(
    data: bytes,
    codec: str | None,
    adapter: StoredAdapter | Path | None,
    loaded: dict[tuple[str, int, str], Codec],
) -> Codec:
    header = container.read_header(data)
    key = (codec or header.codec_id, header.quality, header.adapter_id)
    if key not in loaded:
        loaded[key] = Codec.for_stream(data, codec, adapter)
    return loaded[key]


def plan_outputs(
    sources: Sequence[Path], output: Path | None, suffix: str, valid: Sequence[str], force: bool
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pairs of input and output, and a line for every output that must not be replaced.

    Args:
        suffix: of an output whose name is not given.
        valid: suffixes by which `output` is a file, not a folder.
    """
    single_file = output is not None and output.suffix.lower() in valid and not output.is_dir()
    if output is not None and output.suffix.lower() in FILE_SUFFIXES and not (single_file or output.is_dir()):
        raise IcmError(
            f"{output}: a {output.suffix} file is not made here; use {', '.join(valid)} or a folder"
        )
    if single_file and len(sources) > 1:
        raise IcmError(f"{output} is one file, the inputs are {len(sources)}; give a folder with -o")
    if output is not None and not single_file:
        make_folder(output)
    jobs: list[tuple[Path, Path]] = []
    failures, taken = [], set()
    for source in sources:
        target = (
            output if single_file and output else (output or source.parent) / source.with_suffix(suffix).name
        )
        if target in taken:
            failures.append(
                f"{source}: another input is already written to {target}; use one folder an output"
            )
        elif target.exists() and not force:
            failures.append(f"{target}: exists; pass --force to replace it, or -o for another place")
        else:
            taken.add(target)
            jobs.append((source, target))
    return jobs, failures


def _read_all(sources: Sequence[Path], convert_16bit: bool) -> tuple[dict[Path, np.ndarray], list[str]]:
    images: dict[Path, np.ndarray] = {}
    failures: list[str] = []
    with ThreadPoolExecutor() as pool:
        pending = {source: pool.submit(read_image, source, convert_16bit) for source in sources}
    for source, future in pending.items():
        try:
            images[source] = future.result()
        except IcmError as error:
            failures.append(str(error))
    return images, failures


@contextmanager
def reporting(failures: list[str], prefix: str = "") -> Iterator[None]:
    """Turns an error about one file into a line, so that the others go on."""
    try:
        yield
    except IcmError as error:
        failures.append(f"{prefix}{error}")


def record(source: Path, target: Path, shape: tuple[int, ...], size: int, codec: str, quality: int) -> Coded:
    """What is said of a file: `shape` begins with height and width, `size` in bytes."""
    height, width = shape[:2]
    return Coded(source, target, width, height, size, 8 * size / (height * width), codec, quality)


def _chunks(jobs: Sequence[tuple[Path, Path]]) -> Iterator[Sequence[tuple[Path, Path]]]:
    return (jobs[i : i + CHUNK] for i in range(0, len(jobs), CHUNK))
