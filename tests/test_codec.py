"""Codec: round trips at every kind of size, agreement across batch sizes, and every refusal."""

import dataclasses

import jax
import numpy as np
import pytest

from icm_jax import Codec
from icm_jax.bitstream import errors
from icm_jax.bitstream.container import unpack
from icm_jax.coding import hyperprior
from icm_jax.errors import IcmError
from tests.tiny import BOTTLENECK, SWIN, tiny_codec


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture: like a photo, most of its energy is in low frequencies."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width] / 40.0
    waves = [np.sin(rows * a + cols * b + c) for a, b, c in rng.uniform(0, 3, (3, 3))]
    return np.clip(128 + 90 * np.stack(waves, -1) + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(
        np.uint8
    )


def reconstruction(codec: Codec, image: np.ndarray) -> np.ndarray:
    """What the encoder itself would show: synthesis of its own quantised latents."""
    return codec.decompress(codec.compress(image))


@pytest.mark.parametrize("spec", [BOTTLENECK, SWIN], ids=["bottleneck", "swin"])
@pytest.mark.parametrize(
    "size", [(1, 1), (64, 64), (63, 65), (17, 128)]
)  # two canvases: few programs to compile
def test_round_trip_gives_the_encoders_symbols(spec, size) -> None:
    codec, image = tiny_codec(spec), photo(*size)
    data = codec.compress(image)
    stream, canvas = codec._open(data)
    sent = codec._quantise([image], [canvas]).symbols[0]
    received = codec._read(stream, canvas).symbols[0]
    np.testing.assert_array_equal(sent.y, received.y)
    np.testing.assert_array_equal(sent.z, received.z)
    assert sent.y.shape[:2] == tuple(-(-side // 16) for side in size)


def test_decoded_images_have_the_true_size() -> None:
    for size in [(1, 1), (64, 64), (5, 128)]:
        image = photo(*size)
        assert tiny_codec().decompress(tiny_codec().compress(image)).shape == image.shape


def test_batch_writes_the_same_bytes_as_one_by_one() -> None:
    codec = tiny_codec()
    images = [
        photo(*size, seed) for seed, size in enumerate([(60, 50), (64, 64), (30, 128), (20, 100), (64, 10)])
    ]
    assert codec.compress_batch(images, threads=3) == [codec.compress(image) for image in images]
    streams = codec.compress_batch(images)
    for image, decoded in zip(images, codec.decompress_batch(streams), strict=True):
        np.testing.assert_array_equal(decoded, reconstruction(codec, image))


@pytest.mark.parametrize("alignment", ["pad256", "resize256"])
def test_published_alignments_are_kept_in_the_stream(alignment) -> None:
    codec, image = tiny_codec(), photo(70, 90)
    data = codec.compress(image, alignment)
    assert unpack(data).header.padded_height == 256
    assert codec.decompress(data).shape == image.shape


def test_table_bits_predict_the_file_size() -> None:
    codec, image = tiny_codec(), photo(64, 128)
    data = codec.compress(image)
    found = codec.inspect(data)
    payload = dict(found.section_bytes)
    assert abs(found.z_bits / 8 - payload["Z"]) < 0.02 * payload["Z"] + 16
    assert abs(found.channel_bits.sum() / 8 - payload["Y"]) < 0.02 * payload["Y"] + 16
    assert found.total_bytes == len(data)


def test_estimate_map_sums_to_the_estimate() -> None:
    estimate = tiny_codec().estimated_bits(photo(50, 100))
    assert estimate.map.shape == (4, 7)
    assert estimate.map.sum() == pytest.approx(estimate.bits, rel=1e-5)
    assert estimate.bpp == pytest.approx(estimate.bits / 5000)


def test_saved_codec_is_the_same_codec(tmp_path) -> None:
    codec, image = tiny_codec(), photo(40, 40)
    codec.save(tmp_path / "codec")
    loaded = Codec.load(tmp_path / "codec")
    assert loaded.hash == codec.hash
    assert loaded.compress(image) == codec.compress(image)
    np.testing.assert_array_equal(loaded.decompress(codec.compress(image)), reconstruction(codec, image))


def test_changed_weights_are_refused(tmp_path) -> None:
    tiny_codec().save(tmp_path / "codec")
    path = tmp_path / "codec" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IcmError, match="hash"):
        Codec.load(tmp_path / "codec")


def test_missing_file_is_named(tmp_path) -> None:
    tiny_codec().save(tmp_path / "codec")
    (tmp_path / "codec" / "tables.safetensors").unlink()
    with pytest.raises(IcmError, match=r"tables\.safetensors"):
        Codec.load(tmp_path / "codec")


@pytest.mark.parametrize(
    ("record", "what"), [("{", "damaged"), ("[]", "format"), ('{"format": 1}', "has no name")]
)
def test_a_broken_record_is_one_line(record, what, tmp_path) -> None:
    tiny_codec().save(tmp_path / "codec")
    (tmp_path / "codec" / "codec.json").write_text(record)
    with pytest.raises(IcmError, match=what) as caught:
        Codec.load(tmp_path / "codec")
    assert "\n" not in str(caught.value)


def test_another_codecs_stream_is_refused_with_both_hashes() -> None:
    data, other = tiny_codec().compress(photo(20, 20)), tiny_codec(seed=1)
    with pytest.raises(errors.WrongCodec) as caught:
        other.decompress(data)
    assert tiny_codec().hash[:16] in str(caught.value) and other.hash[:16] in str(caught.value)


def test_disagreeing_scales_are_noticed_not_shown_as_noise(monkeypatch) -> None:
    codec, image = tiny_codec(), photo(64, 64)
    data = codec.compress(image)
    exact = hyperprior.programs.scales_and_means

    def deviating(*args):
        scales, means = exact(*args)
        return scales * 1.2, means

    monkeypatch.setattr(hyperprior.programs, "scales_and_means", deviating)
    with pytest.raises(errors.StreamError):
        codec.decompress(data)


def test_float32_decoder_reads_streams_guarded_for_it(monkeypatch) -> None:
    codec, image = tiny_codec(), photo(64, 64)
    data = codec.compress(image, scale_precision="float32")
    expected = codec.decompress(data)

    def in_float32(spec, params64, z_hat):
        params = jax.tree.map(np.float32, params64)
        hyper_synthesise = hyperprior.programs.programs(spec).hyper_synthesise
        scales, means = hyper_synthesise({"params": params}, z_hat.astype(np.float32))
        return np.asarray(scales, np.float64), np.asarray(means)

    monkeypatch.setattr(hyperprior.programs, "scales_and_means", in_float32)
    assert np.abs(codec.decompress(data).astype(int) - expected.astype(int)).max() <= 1
    assert len(data) > len(codec.compress(image))  # the longer list is what it costs


def test_every_damaged_byte_is_an_error() -> None:
    codec = tiny_codec()
    data = codec.compress(photo(16, 16))
    for position in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(errors.StreamError):
            codec.decompress(bytes(damaged))
    for length in range(0, len(data), 5):
        with pytest.raises(errors.StreamError):
            codec.decompress(data[:length])


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), "photo.png"],
)
def test_what_is_no_image_is_refused(image) -> None:
    with pytest.raises(IcmError):
        tiny_codec().compress(image)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(IcmError, match="neither a folder nor"):
        Codec.load("tic-huge")
    with pytest.raises(IcmError, match="grid, pad256, resize256"):
        tiny_codec().compress(photo(8, 8), alignment="stretch")


def test_diverged_weights_are_refused_at_coding() -> None:
    stored = tiny_codec().stored
    broken = {
        **stored.params,
        "g_a": {
            **stored.params["g_a"],
            "conv0": {
                "kernel": np.full_like(stored.params["g_a"]["conv0"]["kernel"], np.nan),
                "bias": stored.params["g_a"]["conv0"]["bias"],
            },
        },
    }
    codec = Codec(dataclasses.replace(stored, params=broken))
    with pytest.raises(IcmError, match="not finite"):
        codec.compress(photo(16, 16))
