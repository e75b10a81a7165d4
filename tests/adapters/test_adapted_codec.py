"""Adapters as values on one codec: files, streams, what is shared and what is refused."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from icm_jax import Codec, paths, pretrained
from icm_jax.adapters import store
from icm_jax.adapters.all_in_one import AllInOneSpec
from icm_jax.adapters.registry import adapter_spec, adapter_values
from icm_jax.adapters.sfma import SfmaSpec
from icm_jax.adapters.store import StoredAdapter
from icm_jax.batch import decompress_files
from icm_jax.bitstream.errors import WrongAdapter
from icm_jax.data.image_io import read_image
from icm_jax.errors import IcmError
from icm_jax.models import programs
from tests.adapters.random_values import random_variables
from tests.tiny import BOTTLENECK, tiny_codec

SFMA = SfmaSpec(middle=4)
ALL_IN_ONE = AllInOneSpec(tasks=("semseg", "sal"), middle=4, tam_hidden=4, msf_width=4, msf_window=4)


def adapter(name: str = "det", spec: object = SFMA, seed: int = 0, scale: float = 1.0) -> StoredAdapter:
    variables = random_variables(spec, BOTTLENECK, seed, scale)
    return store.make_adapter(name, "detection", spec, variables, tiny_codec().stored, {"mAP": 0.4})


def picture(h: int = 50, w: int = 61, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, channels), dtype=np.uint8)


def test_a_file_keeps_everything(tmp_path: Path):
    made = adapter()
    store.save(made, tmp_path / "det.safetensors")
    found = store.load(tmp_path / "det.safetensors")
    assert replace(found, variables={}) == replace(made, variables={})
    assert jax.tree.all(jax.tree.map(np.array_equal, dict(found.variables), dict(made.variables)))


@pytest.mark.parametrize("spec", [SFMA, ALL_IN_ONE])
def test_specifications_survive_json(spec: object):
    assert adapter_spec(adapter_values(spec)) == spec


def test_files_that_are_no_adapter(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(IcmError, match="no such adapter file"):
        store.load(path)
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(IcmError, match="no adapter"):
        store.load(path)
    path.write_bytes(b"short")
    with pytest.raises(IcmError, match="damaged"):
        store.load(path)
    store.save(adapter(), path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IcmError, match="copy or export it again"):
        store.load(path)


def test_without_an_adapter_it_is_the_codec_for_people_bit_for_bit():
    codec, image = tiny_codec(), picture()
    human = codec.compress(image)
    assert codec.with_adapter(adapter()).with_adapter(None).compress(image) == human
    still = codec.with_adapter(adapter(spec=SFMA, scale=0.0))
    assert np.array_equal(still.decompress(still.compress(image)), codec.decompress(human))


def test_adapted_streams_name_their_adapter_and_decode_with_it_alone(tmp_path: Path):
    codec, image = tiny_codec(), picture()
    store.save(adapter(), tmp_path / "det.safetensors")
    detection = codec.with_adapter(tmp_path / "det.safetensors")
    other = codec.with_adapter(adapter("seg", seed=1))
    data = detection.compress(image)
    assert detection.decompress(data).shape == image.shape
    assert codec.inspect(data).header.adapter_id == "det"
    with pytest.raises(WrongAdapter, match=r"needs adapter det \w{16}, you loaded seg \w{16}"):
        other.decompress(data)
    with pytest.raises(WrongAdapter, match=r"needs adapter det \w{16}, you loaded none"):
        codec.decompress(data)
    with pytest.raises(WrongAdapter, match=r"needs adapter none, .*decode it without one"):
        detection.decompress(codec.compress(image))


def test_an_included_adapter_is_found_by_name_and_by_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    codec, image = tiny_codec(), picture()
    codec.save(tmp_path / "tiny" / "q1")
    store.save(adapter(), tmp_path / "tiny" / "q1" / "adapters" / "det.safetensors")
    monkeypatch.setattr(pretrained, "_root", lambda: tmp_path)
    included = Codec.load("tiny", 1, "det")
    streams = {"det": included.compress(image), "people": codec.compress(image)}
    for name, data in streams.items():
        (tmp_path / f"{name}.icm").write_bytes(data)
    outcome = decompress_files(None, [str(tmp_path / "*.icm")], tmp_path / "out", force=False)
    assert not outcome.failures
    assert np.array_equal(read_image(tmp_path / "out" / "det.png"), included.decompress(streams["det"]))
    assert np.array_equal(read_image(tmp_path / "out" / "people.png"), codec.decompress(streams["people"]))
    with pytest.raises(IcmError, match=r"none of that name comes with tiny q1 \(included: det\)"):
        Codec.load("tiny", 1, "seg")


def test_included_adapters_fit_their_codec():
    found = [
        (quality, file)
        for quality in range(1, 5)
        for file in pretrained.adapters("tic-base", quality).values()
    ]
    assert found
    for quality, file in found:
        loaded = store.load(file)
        loaded.refuse_other_base(Codec.load("tic-base", quality).stored)
        assert loaded.name == file.stem  # streams carry the name, and are read with the file of that name


def test_another_base_is_refused_with_both_hashes():
    codec, other = tiny_codec(), tiny_codec(seed=1)
    with pytest.raises(
        IcmError, match=f"made for base tiny q1 {codec.hash[:16]}, this is tiny q1 {other.hash[:16]}"
    ):
        other.with_adapter(adapter())


def test_adapters_share_base_and_programs():
    codec, image = tiny_codec(), picture()
    first, second = codec.with_adapter(adapter()), codec.with_adapter(adapter("seg", seed=1))
    assert first.compress(image) != second.compress(image)
    first.decompress(first.compress(image))
    steps = programs.programs(BOTTLENECK, SFMA)
    before = [step._cache_size() for step in steps]
    second.decompress(second.compress(image))
    assert [step._cache_size() for step in steps] == before
    mine, theirs = first._network.variables["params"], second._network.variables["params"]
    assert all(mine[part] is theirs[part] is codec.stored.params[part] for part in codec.stored.params)


def test_one_stream_decodes_to_a_picture_for_every_task():
    codec, image = tiny_codec(), picture()
    leaves = paths.flatten(random_variables(ALL_IN_ONE, BOTTLENECK))
    for path in ("head_semseg/kernel", "head_semseg/bias"):
        leaves[f"params/g_s/{path}"] *= 0
    made = store.make_adapter("multi", "both", ALL_IN_ONE, paths.unflatten(leaves), codec.stored)
    multi = codec.with_adapter(made)
    data = multi.compress(image)
    pictures = multi.decompress_pictures(data)
    assert list(pictures) == ["shared", "semseg", "sal"]
    assert all(picture.shape == image.shape for picture in pictures.values())
    assert np.array_equal(pictures["shared"], pictures["semseg"])
    assert not np.array_equal(pictures["shared"], pictures["sal"])
    assert np.array_equal(multi.decompress(data), pictures["shared"])
    with pytest.raises(IcmError, match="decodes to an image"):
        multi.features(data)
