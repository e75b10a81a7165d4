"""icm compress and icm decompress with a codec of a task's features: files of predictions, previews, bad input."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icm_jax import cli
from icm_jax.data.image_io import read_image, write_image
from icm_jax.pretrained import dora_icm, store
from icm_jax.task_codec import TaskCodec
from icm_jax.tasks.predictions import prediction_file, prediction_suffix
from tests.test_task_codec import TINY, picture
from tests.tiny_dora import random_model

SPEC = dataclasses.replace(TINY, patch=14)  # the other size of patches that EVA-02 has


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """DIR/normals/codec.json and DIR/backbone.safetensors, as several tasks on one backbone lie."""
    root = tmp_path_factory.mktemp("codecs")
    params, batch_stats = random_model(SPEC)
    facts = {"task": "normals"}
    store.save(dora_icm.to_stored("tiny", 2, 0.1, SPEC, params, batch_stats, facts), root / "normals")
    dora_icm.write_backbone(root / "backbone.safetensors", params["backbone"], {})
    return root


def run(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_picture_to_file_to_prediction_and_preview(folder: Path, tmp_path: Path, capsys) -> None:
    photo = tmp_path / "photo.png"
    write_image(photo, picture(50, 70))
    assert run("compress", photo, "--codec", folder, "--task", "normals") == 0
    assert run("decompress", tmp_path / "photo.icm", "--codec", folder, "--task", "normals") == 0
    decoded = TaskCodec(store.load(folder / "normals")).decompress((tmp_path / "photo.icm").read_bytes())
    vectors = np.load(tmp_path / "photo.npz")["prediction"]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(np.sign(vectors), np.sign(decoded))
    assert read_image(tmp_path / "photo.preview.png").shape == (50, 70, 3)
    # The codec's own folder says what it is for.
    assert run("decompress", tmp_path / "photo.icm", "-o", tmp_path / "own", "-c", folder / "normals") == 0
    assert (tmp_path / "own" / "photo.npz").is_file()
    assert run("inspect", tmp_path / "photo.icm", "-c", folder / "normals") == 0
    assert "y channels by bits (4 in all)" in capsys.readouterr().out


def test_what_is_asked_for_wrongly_is_said_in_a_line(folder: Path, tmp_path: Path, capsys) -> None:
    photo = tmp_path / "photo.png"
    write_image(photo, picture(8, 8))

    def error(*arguments) -> str:
        assert run("compress", photo, *arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "no codec of the features of 'depth'" in error("-c", folder, "--task", "depth")
    assert "codes the features of 'normals'" in error("-c", folder / "normals", "--task", "depth")
    assert "--quality is for codecs of pictures" in error("-c", folder / "normals", "-q", 2)
    other = tmp_path / "other.safetensors"
    dora_icm.write_backbone(other, {"a": np.ones(3, np.float32)}, {})
    assert "needs the backbone" in error("-c", folder / "normals", "--backbone", other)
    assert "no backbone" in error("-c", folder / "normals", "--backbone", tmp_path / "none")
    assert not list(tmp_path.glob("*.icm"))


@pytest.mark.parametrize(
    ("task", "outputs"),
    [("semseg", 6), ("human_parts", 7), ("sal", 2), ("edge", 1), ("depth", 1), ("normals", 3)],
)
def test_every_task_has_files(task: str, outputs: int) -> None:
    prediction = np.random.default_rng(0).normal(size=(6, 9, outputs)).astype(np.float32)
    made = prediction_file(task, prediction)
    assert made.preview.shape == (6, 9, 3) and made.preview.dtype == np.uint8
    if prediction_suffix(task) == ".npz":
        array = np.load(io.BytesIO(made.data))["prediction"]
        expected = np.maximum(prediction[..., 0], 0) if task == "depth" else prediction
        assert array.shape == expected.shape
        return
    answer = np.asarray(Image.open(io.BytesIO(made.data)))
    assert answer.shape == (6, 9)
    if outputs > 2:
        np.testing.assert_array_equal(answer, prediction.argmax(-1))
    else:
        logit = prediction[..., -1] - (prediction[..., 0] if outputs == 2 else 0)
        np.testing.assert_allclose(answer / 255, 1 / (1 + np.exp(-logit)), atol=0.003)
