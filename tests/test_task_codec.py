"""From an image to a file to a prediction, by the model as it is trained and as it is stored."""

from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.bitstream import WrongCodec
from icm_jax.codec import Codec
from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.model import DoraICM, variables
from icm_jax.models.eva02 import normalise
from icm_jax.pretrained import dora_icm, store
from icm_jax.task_codec import TaskCodec
from tests.tiny_dora import TINY, random_model


@cache
def trained() -> tuple[dict, dict]:
    return random_model()


@cache
def codec() -> TaskCodec:
    params, batch_stats = trained()
    return TaskCodec(dora_icm.to_stored("tiny-edge", 2, 0.1, TINY, params, batch_stats), params["backbone"])


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_the_file_gives_the_prediction_of_the_model() -> None:
    image = picture(64, 128)
    data = codec().compress(image)
    prediction = codec().decompress(data)
    assert prediction.shape == (64, 128, 3)
    collections = variables(TINY, *trained())
    pixels = jnp.asarray(image[None], jnp.float32) / 255
    expected = jax.jit(DoraICM(TINY).apply)(collections, normalise(pixels))
    np.testing.assert_allclose(prediction, expected.prediction[0], atol=0.02)  # weights are stored as float16
    assert codec().estimated_bits(image) > 1000


def test_a_stream_needs_the_stored_part_alone(tmp_path: Path) -> None:
    data = codec().compress(picture(50, 70))
    store.save(codec().stored, tmp_path / "edge")
    decoder = TaskCodec(store.load(tmp_path / "edge"))
    np.testing.assert_array_equal(decoder.decompress(data), codec().decompress(data))
    assert decoder.decompress(data).shape == (50, 70, 3)
    with pytest.raises(IcmError, match="without a backbone"):
        decoder.compress(picture(50, 70))


def test_what_does_not_belong_together_is_refused() -> None:
    params, batch_stats = trained()
    other = {**params, "codec": jax.tree.map(lambda leaf: 0.5 * leaf, params["codec"])}
    stranger = TaskCodec(dora_icm.to_stored("tiny-depth", 2, 0.1, TINY, other, batch_stats))
    with pytest.raises(WrongCodec):
        stranger.decompress(codec().compress(picture(64, 64)))
    with pytest.raises(IcmError, match="needs the backbone"):
        TaskCodec(codec().stored, jax.tree.map(lambda leaf: leaf + 1, params["backbone"]))
    with pytest.raises(IcmError, match="codes features for a task"):
        Codec(codec().stored)
    with pytest.raises(IcmError, match="both sides must be in"):
        codec().compress(np.zeros((64, 2000, 3), np.uint8))
    with pytest.raises(IcmError, match="expected uint8"):
        codec().compress(np.zeros((64, 64, 3)))
