"""Answers of the tasks with published weights: the same as those of the recognition networks asked one by one."""

from pathlib import Path

import numpy as np
import pytest

from icm_jax.data.samples import sample_images
from icm_jax.recognizers.predict import classify, find_salient, segment
from icm_jax.recognizers.registry import load_recognizer
from icm_jax.tasks.registry import get_task

WEIGHTS = Path(__file__).parents[3] / "shared" / "weights"
CASES = {
    "classification": ("mobilenet_v2_imagenet", classify),
    "semseg": ("espnetv2_s2.0_voc384", segment),
    "saliency": ("u2netp_saliency", find_salient),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_batched_answers_are_those_of_single_photos(name: str) -> None:
    file, ask = CASES[name]
    path = WEIGHTS / f"{file}.safetensors"
    if not path.exists():
        pytest.skip(f"no weights at {path}")
    task = get_task(name)
    network = load_recognizer(task.recognizers[0], path)
    photos = [sample.image[:200, :240] for sample in sample_images()[:2]]
    for photo, answer in zip(photos, task.answers(network, photos), strict=True):
        expected = ask(network, photo)
        if name == "semseg":
            assert np.mean(answer == expected) > 0.9999  # ties of nearly equal logits
        else:
            np.testing.assert_allclose(answer, expected, atol=2e-3 if name == "classification" else 1e-4)
