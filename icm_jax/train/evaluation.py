"""Evaluation at the end of a run: exported codecs over a folder of images, through real files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from icm_jax.codec import Codec
from icm_jax.data.image_io import list_images, write_bytes
from icm_jax.evaluate.curves import markdown_table
from icm_jax.evaluate.rate_distortion import evaluate_folder, summarise


@dataclass(frozen=True)
class EvalConfig:
    """Evaluation on a folder of images, the first `limit` of them (0: all); an empty folder leaves it out."""

    folder: str = ""
    limit: int = 0


def evaluate(folders: Sequence[Path], out: Path, config: EvalConfig) -> None:
    """Writes records and summary of the codecs in `folders` to `out` and prints the table."""
    codecs = [Codec.load(folder) for folder in folders]
    images = list_images(config.folder)[: config.limit or None]
    records = evaluate_folder({f"{codec.name}-{codec.quality}": codec for codec in codecs}, images, [], out)
    summary = summarise(records)
    write_bytes(out / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
    print(markdown_table(summary))
