"""The TransTIC paper's baselines on one TIC: feature transforms, channel selection, regions of interest."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from icm_jax import batch
from icm_jax.adapters import store
from icm_jax.adapters.channel_selection import ChannelGate, ChannelSelectionSpec
from icm_jax.adapters.registry import adapted
from icm_jax.adapters.roi import SPAN, RoiSpec, error_weight
from icm_jax.adapters.sft import Sft, SftSpec
from icm_jax.errors import IcmError
from icm_jax.models.registry import build
from tests.adapters.random_values import random_variables
from tests.adapters.test_adapted_codec import picture
from tests.tiny import BOTTLENECK, tiny_codec

WIDTHS = {"encoder_widths": (4,) * 4, "hyper_widths": (4,) * 2, "decoder_widths": (4,) * 4, "hidden": 4}
SELECTION = ChannelSelectionSpec(widths=(4, 4), features=6)


def test_a_transform_starts_as_the_identity():
    x, condition = jnp.ones((1, 4, 4, 3)), jnp.ones((1, 4, 4, 2))
    out, _ = Sft(4).init_with_output(jax.random.key(0), x, condition)
    assert np.array_equal(out, x)


def test_transforms_stand_after_every_stack():
    tree = random_variables(SftSpec(**WIDTHS), BOTTLENECK)["params"]
    found = {(side, name) for side in tree for name in tree[side] if name.startswith("transform")}
    encoder = {("g_a", f"transform_stb{i}") for i in (1, 3, 5, 7)}
    hyper = {("h_a", f"transform_stb{i}") for i in (1, 3)}
    assert found == encoder | hyper | {("g_s", f"transform_stb{i}") for i in (0, 2, 4, 6)}


def test_a_quality_map_moves_detail_where_it_is_high():
    """The map reaches the stream through the condition alone, and a codec without one takes no fourth channel."""
    variables = random_variables(RoiSpec(**WIDTHS), BOTTLENECK, scale=0.7)
    made = store.make_adapter("roi", "detection", RoiSpec(**WIDTHS), variables, tiny_codec().stored)
    codec, image = tiny_codec().with_adapter(made), picture()
    low, high = (np.dstack([image, np.full(image.shape[:2], value, np.uint8)]) for value in (0, 255))
    data = codec.compress(low)
    assert data != codec.compress(high)
    assert codec.decompress(data).shape == image.shape
    with pytest.raises(IcmError, match=r"expected uint8 \[height, width, 4\]"):
        codec.compress(image)
    with pytest.raises(IcmError, match=r"expected uint8 \[height, width, 3\]"):
        tiny_codec().compress(low)


def test_selection_decodes_to_features_of_a_quarter_of_the_size():
    variables = random_variables(SELECTION, BOTTLENECK)
    made = store.make_adapter("cls", "classification", SELECTION, variables, tiny_codec().stored)
    codec = tiny_codec().with_adapter(made)
    data = codec.compress(picture(50, 61))
    features = codec.features(data)
    assert features.shape == (13, 16, 6) and features.dtype == np.float32 and features.min() >= 0
    with pytest.raises(
        IcmError, match=r"adapter cls \w{16} decodes to features, not to an image; use `features`"
    ):
        codec.decompress(data)


def test_the_gate_is_binary_and_passes_gradients_in_training():
    gate = ChannelGate(temperature=1.0)
    y = jax.random.normal(jax.random.key(0), (3, 4, 4, 8))
    params = gate.init(jax.random.key(1), y, False)
    for train, rngs in ((False, {}), (True, {"gate": jax.random.key(2)})):
        mask = gate.apply(params, y, train, rngs=rngs)
        assert mask.shape == (3, 1, 1, 8)
        assert np.allclose(np.minimum(np.abs(mask), np.abs(mask - 1)), 0, atol=1e-6)
    loss = lambda p: (gate.apply(p, y, True, rngs={"gate": jax.random.key(2)}) * jnp.arange(8.0)).sum()  # noqa: E731
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(jax.grad(loss)(params)))


def test_a_closed_channel_is_zero_in_the_latents():
    variables = random_variables(SELECTION, BOTTLENECK)
    bias = variables["params"]["g_a"]["fc2"]["bias"].reshape(-1, 2)
    bias[:] = [100.0, 0.0]
    bias[3] = [0.0, 100.0]
    own = adapted(tiny_codec().stored.params, variables)
    y = build(BOTTLENECK, SELECTION).apply(own, jnp.full((1, 64, 64, 3), 0.5), method="analyse")
    closed = np.all(np.asarray(y) == 0, axis=(0, 1, 2))
    assert np.flatnonzero(closed).tolist() == [3]


def test_errors_count_eighty_times_more_at_the_top_of_a_map():
    low, middle, high = error_weight(jnp.array([0.0, 0.5, 1.0]))
    assert middle == 1 and high / low == pytest.approx(np.exp(SPAN)) == pytest.approx(80, rel=1e-3)


def test_widths_must_fit():
    with pytest.raises(IcmError, match="4 entries"):
        SftSpec(encoder_widths=(4, 4))
    with pytest.raises(IcmError, match="H/16 and at H/8"):
        ChannelSelectionSpec(widths=(1, 2, 3))


def test_maps_come_from_files_or_from_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    variables = random_variables(RoiSpec(**WIDTHS), BOTTLENECK, scale=0.7)
    made = store.make_adapter("roi", "toy", RoiSpec(**WIDTHS), variables, tiny_codec().stored)
    codec, image, drawn = tiny_codec().with_adapter(made), picture(), picture(seed=1)[..., 0]
    for folder in ("photos", "maps"):
        (tmp_path / folder).mkdir()
    Image.fromarray(image).save(tmp_path / "photos" / "a.png")
    Image.fromarray(image).save(tmp_path / "photos" / "b.png")
    Image.fromarray(drawn).save(tmp_path / "maps" / "a.png")
    photos, rest = [str(tmp_path / "photos")], (False, "grid", False)
    done, failures = batch.compress_files(codec, photos, tmp_path / "out", *rest, tmp_path / "maps")
    assert done[0].output.read_bytes() == codec.compress(np.dstack([image, drawn]))
    assert len(done) == 1 and len(failures) == 1 and "b.png: no readable quality map" in failures[0]
    monkeypatch.setattr(batch, "load_recognizer", lambda name: f"network {name}")
    monkeypatch.setattr(batch, "photo_map", lambda network, seen: seen[..., len(network) % 3])
    done, failures = batch.compress_files(codec, photos, tmp_path / "made", *rest)
    made_map = image[..., len("network toy") % 3]
    assert done[1].output.read_bytes() == codec.compress(np.dstack([image, made_map])) and not failures
    with pytest.raises(IcmError, match="no adapter that takes quality maps"):
        batch.compress_files(tiny_codec(), photos, tmp_path / "no", *rest, tmp_path / "maps")


def test_features_are_written_as_arrays(tmp_path: Path):
    variables = random_variables(SELECTION, BOTTLENECK)
    made = store.make_adapter("cls", "classification", SELECTION, variables, tiny_codec().stored)
    store.save(made, tmp_path / "cls.safetensors")
    tiny_codec().save(tmp_path / "base")
    codec = tiny_codec().with_adapter(made)
    (tmp_path / "a.icm").write_bytes(codec.compress(picture(50, 61)))
    arguments = (str(tmp_path / "base"), [str(tmp_path / "a.icm")], None, False, tmp_path / "cls.safetensors")
    (coded,), failures = batch.decompress_files(*arguments)
    assert not failures and coded.output == tmp_path / "a.npy" and (coded.height, coded.width) == (50, 61)
    np.testing.assert_array_equal(np.load(coded.output), codec.features((tmp_path / "a.icm").read_bytes()))
