"""A judge without a network: classes are told by mean colours. At module level, so that processes can share it."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from icm_jax.evaluate.harness import Bench
from icm_jax.evaluate.judge import Judge
from icm_jax.evaluate.subjects import load_subjects
from icm_jax.tasks.classification import TASK
from icm_jax.tasks.labels import ClassTable

CLASSES = 12
WEIGHTS = np.random.default_rng(0).normal(size=(48, CLASSES)).astype(np.float32)


def colour_logits(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Logits from the mean colours of a 4×4 grid, as a linear classifier."""
    answers = []
    for picture in pictures:
        rows = np.array_split(picture.astype(np.float32) / 25, 4)
        means = [part.mean((0, 1)) for row in rows for part in np.array_split(row, 4, axis=1)]
        answers.append(np.concatenate(means) @ WEIGHTS)
    return answers


def toy_judge(table: Path | None) -> Judge:
    labels = ClassTable(table) if table else None
    return Judge(TASK, colour_logits, labels, {"name": "toy", "weights_sha256": "0" * 64})


def toy_bench(codecs: tuple[str, ...], table: Path | None) -> Bench:
    return Bench(tuple(load_subjects(codecs)), toy_judge(table))


def make_toy(codecs: tuple[str, ...], table: Path | None) -> functools.partial[Bench]:
    """What every process calls."""
    return functools.partial(toy_bench, codecs, table)
