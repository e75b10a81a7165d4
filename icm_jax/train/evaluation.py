"""Evaluation at the end of a run: exported codecs over a folder of images, through real files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from icm_jax.codec import Codec
from icm_jax.data.image_io import list_images
from icm_jax.evaluate.curves import markdown_table
from icm_jax.evaluate.evaluation import evaluate_bench
from icm_jax.evaluate.harness import Bench
from icm_jax.evaluate.subjects import Subject
from icm_jax.train.config import refuse_unused


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation on a folder of images, the first `limit` of them (0: all); an empty folder leaves it out."""

    folder: str = ""
    limit: int = 0

    def __post_init__(self) -> None:
        refuse_unused("eval", self, "limit", bool(self.folder), "eval.folder")


def evaluate(folders: Sequence[Path], out: Path, config: EvalConfig) -> None:
    """Writes records and results of the codecs in `folders` to `out` and prints the table."""
    codecs = [Codec.load(folder) for folder in folders]
    images = list_images(config.folder)[: config.limit or None]
    bench = Bench(tuple(Subject(codec.name, codec.quality, codec) for codec in codecs))
    print(markdown_table(evaluate_bench(lambda: bench, images, out, name=Path(config.folder).name)))
