"""An evaluation as a plan: which images, which codecs, which task; and its results as files.

icm eval PHOTOS --codecs tic-lite jpeg webp --task classification --labels labels.csv -o results/imagenet
icm eval --config=configs/eval_classification.py -o results/imagenet
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icm_jax.data.image_io import list_images, write_bytes
from icm_jax.errors import IcmError
from icm_jax.evaluate.curves import markdown_table
from icm_jax.evaluate.harness import Bench, Options, measure_images
from icm_jax.evaluate.judge import load_judge
from icm_jax.evaluate.protocol import get_protocol
from icm_jax.evaluate.provenance import provenance
from icm_jax.evaluate.result import Result, write_result
from icm_jax.evaluate.subjects import load_subjects
from icm_jax.evaluate.summary import summarise


@dataclass(frozen=True)
class Plan:
    """What is evaluated.

    Attributes:
        images: files, or folders of them.
        codecs: in the language of `icm_jax.evaluate.subjects`.
        task: name in `icm_jax.tasks.registry`; "" compares the pictures alone.
        recognizer, weights, labels: of the task; see `icm_jax.evaluate.judge.load_judge`.
        protocol: "own", "published" or "published-pad"; see `icm_jax.evaluate.protocol`.
        limit: only the first so many images; 0 for all.
        jobs, keep, pictures: see `icm_jax.evaluate.harness.Options`.
    """

    images: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ("tic-lite", "jpeg", "webp")
    task: str = ""
    recognizer: str = ""
    weights: str = ""
    labels: str = ""
    protocol: str = "own"
    limit: int = 0
    jobs: int = 1
    keep: bool = False
    pictures: int = 0

    def __post_init__(self) -> None:
        if not self.images or not self.codecs:
            raise IcmError("nothing to evaluate; give at least one image or folder, and one codec")
        for name, least in (("limit", 0), ("jobs", 1), ("pictures", 0)):
            if getattr(self, name) < least:
                raise IcmError(f"{name} is {getattr(self, name)}, the least is {least}")
        for name in ("recognizer", "weights", "labels"):
            if getattr(self, name) and not self.task:
                raise IcmError(f"{name} is given without a task; name one with --task")


def evaluate(plan: Plan, out: Path) -> list[Result]:
    """Runs a plan and writes `CURVE.json` for every curve, and `table.md`, to the folder `out`.

    Raises:
        IcmError: anything that can not be read or measured; what was measured before is kept, and the same call
            goes on from there.
    """
    images = find_images([Path(image) for image in plan.images])[: plan.limit or None]
    options = Options(plan.jobs, plan.keep, plan.pictures)
    folder = Path(plan.images[0])
    name = folder.name if folder.is_dir() else folder.parent.name
    return evaluate_bench(
        functools.partial(_bench, plan), images, out, options, name, dataclasses.asdict(plan)
    )


def evaluate_bench(
    make_bench: Any,
    images: Sequence[Path],
    out: Path,
    options: Options = Options(),  # noqa: B008 - a value
    name: str = "",
    config: Mapping[str, Any] | None = None,
) -> list[Result]:
    """The same for any codecs, networks and labels; see `icm_jax.evaluate.harness.measure_images`."""
    bench, rows = measure_images(make_bench, images, out, options)
    results = summarise(bench, rows, name, provenance(config or {}))
    for result in results:
        write_result(out / f"{result.curve}.json", result)
    write_bytes(out / "table.md", (markdown_table(results) + "\n").encode())
    return results


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and of each folder its images by name; raises IcmError for an empty folder."""
    return [file for path in paths for file in (list_images(path) if path.is_dir() else [path])]


def _bench(plan: Plan) -> Bench:
    protocol = get_protocol(plan.protocol, plan.task)
    names = (plan.task, plan.recognizer, plan.weights, plan.labels)
    judge = load_judge(*names, protocol.published) if plan.task else None
    return Bench(tuple(load_subjects(plan.codecs, plan.task, protocol.alignment)), judge, protocol)
