"""CompressAI's codecs and ours: key maps, forward passes, gradients, and streams byte for byte."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from icm_jax import paths
from icm_jax.bitstream import SectionType, container
from icm_jax.cli import main
from icm_jax.codec import Codec
from icm_jax.models.registry import MODELS, build
from icm_jax.pretrained import store
from tests.weights_convert import compressai_zoo as zoo
from weights_convert.compressai import (
    CONVOLUTIONAL,
    ZOO,
    codec_from_state_dict,
    expected_params,
    stored_codec,
)
from weights_convert.converted import read, to_reference
from weights_convert.keymap import ConversionError, convert, invert
from weights_convert.network_map import shapes_of
from weights_convert.sources import sources_of

SHARED_STREAMS = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean")
CONTEXT = ("mbt2018", "cheng2020-anchor", "cheng2020-attn")
SHIFT = 0.3  # stands for the noise of both sides: no rounding, so that everything has a gradient


def factorized_names(prior: str = "_{}{}") -> list[str]:
    """What `bmshj2018-factorized` stores, with one of the three spellings of the prior."""
    names = [f"{t}.{i}.{leaf}" for t in ("g_a", "g_s") for i in (0, 2, 4, 6) for leaf in ("weight", "bias")]
    names += [f"{t}.{i}.{leaf}" for t in ("g_a", "g_s") for i in (1, 3, 5) for leaf in ("beta", "gamma")]
    kinds = {"_{}{}": ("matrix", "bias", "factor")}.get(prior, ("matrices", "biases", "factors"))
    for kind in kinds:
        layers = 4 if kind.startswith("factor") else 5
        names += ["entropy_bottleneck." + prior.format(kind, i) for i in range(layers)]
    return [*names, "entropy_bottleneck.quantiles"]


@pytest.fixture(scope="module")
def factorized() -> tuple[Any, dict[str, Any]]:
    spec = MODELS["bmshj2018-factorized"].spec(N=4, M=6)
    rng = np.random.default_rng(0)
    return spec, jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), expected_params(spec)
    )


def published(params: Mapping[str, Any], names: list[str]) -> dict[str, np.ndarray]:
    return invert(params, CONVOLUTIONAL, names)


@pytest.mark.parametrize("prior", ["_{}{}", "_{}.{}", "{}.{}"])
def test_every_spelling_of_the_prior(factorized: tuple, prior: str) -> None:
    spec, params = factorized
    arrays = published(params, factorized_names(prior))
    found_spec, found = codec_from_state_dict(
        {f"module.{key}": a for key, a in arrays.items()}, "bmshj2018-factorized"
    )
    assert found_spec == spec
    jax.tree.map(np.testing.assert_array_equal, found, params)


def test_buffers_are_dropped(factorized: tuple) -> None:
    buffers = {
        "entropy_bottleneck.target": np.zeros(3),
        "entropy_bottleneck._quantized_cdf": np.zeros((6, 9)),
        "entropy_bottleneck.likelihood_lower_bound.bound": np.zeros(1),
        "g_a.1.beta_reparam.pedestal": np.zeros(1),
        "g_s.5.gamma_reparam.lower_bound.bound": np.zeros(1),
        "gaussian_conditional.scale_table": np.zeros(64),
    }
    spec, params = factorized
    arrays = published(params, factorized_names())
    assert codec_from_state_dict(arrays | buffers, "bmshj2018-factorized")[0] == spec


def test_another_codec_is_refused(factorized: tuple) -> None:
    arrays = published(factorized[1], factorized_names())
    with pytest.raises(
        ConversionError, match=r"g_a\.1\.beta -> g_a/gdn1/beta, which the model does not have"
    ):
        codec_from_state_dict(arrays, "bmshj2018-factorized-relu")
    with pytest.raises(ConversionError, match=r"z_prior/bias0 expects \[4, 3, 1\]"):
        codec_from_state_dict(arrays, "mbt2018-mean")
    with pytest.raises(ConversionError, match=r"g_a\.6\.weight is missing"):
        codec_from_state_dict({"g_a.0.weight": arrays["g_a.0.weight"]}, "mbt2018-mean")
    with pytest.raises(ConversionError, match="'mbt2020' is no codec of CompressAI's"):
        codec_from_state_dict(arrays, "mbt2020")


def test_weights_are_kept_exactly(factorized: tuple, tmp_path: Path) -> None:
    arrays = published(factorized[1], factorized_names())
    made = stored_codec(arrays, "bmshj2018-factorized", "theirs", 3, 0.0067)
    store.save(made, tmp_path / "codec")
    loaded = store.load(tmp_path / "codec")
    assert loaded.exact and store.with_hash(loaded).hash == made.hash
    jax.tree.map(np.testing.assert_array_equal, loaded.params, factorized[1])


def test_published_tables_are_kept(factorized: tuple) -> None:
    arrays = published(factorized[1], factorized_names())
    own = stored_codec(arrays, "bmshj2018-factorized", "own").z_tables
    moved = own.cdf.copy()
    moved[0, 1] += 1
    buffers = {"_quantized_cdf": moved, "_cdf_length": own.length, "_offset": own.offset}
    arrays |= {f"entropy_bottleneck.{leaf}": array for leaf, array in buffers.items()}
    np.testing.assert_array_equal(stored_codec(arrays, "bmshj2018-factorized", "kept").z_tables.cdf, moved)
    arrays["entropy_bottleneck._cdf_length"] = own.length + 1000
    with pytest.raises(ConversionError, match=r"entropy_bottleneck: .*length out of range"):
        stored_codec(arrays, "bmshj2018-factorized", "broken")
    arrays["gaussian_conditional.scale_table"] = np.array([0.1, 1.0])
    with pytest.raises(ConversionError, match=r"tables of 2 scales, 0\.1 to 1"):
        stored_codec(arrays, "bmshj2018-factorized", "other")


def test_a_codec_folder_is_made(factorized: tuple, tmp_path: Path) -> None:
    arrays = published(factorized[1], factorized_names())
    safetensors.numpy.save_file(arrays, tmp_path / "q2.safetensors")
    names = ["--model", "theirs", "--quality", "2"]
    out = tmp_path / "out"
    assert (
        main(["convert", "bmshj2018-factorized", str(tmp_path / "q2.safetensors"), "-o", str(out), *names])
        == 0
    )
    codec = store.load(out / "codec")
    assert (codec.name, codec.quality, codec.exact) == ("theirs", 2, True)
    assert codec.hash == stored_codec(arrays, "bmshj2018-factorized", "theirs").hash
    assert list(sources_of(shapes_of(arrays))) == ["bmshj2018-factorized"]
    for name, array in to_reference(read(out)).items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parity
@pytest.mark.parametrize("name", ZOO)
def test_published_sizes(name: str) -> None:
    widths = (128,) if name.startswith("cheng2020") else (192, 320)
    theirs = zoo.registered()[name](*widths)
    spec = MODELS[name].spec(*widths)
    count = sum(value.numel() for value in theirs.parameters())
    hidden = 13 * spec.M * 2 * spec.M if name in CONTEXT else 0  # taps of the context that do not exist here
    assert sum(leaf.size for leaf in jax.tree.leaves(expected_params(spec))) == count - hidden


@pytest.mark.parity
@pytest.mark.parametrize("name", ZOO)
def test_forward(name: str) -> None:
    import torch

    network, pixels = zoo.tiny(name), zoo.image(1)
    spec, params = codec_from_state_dict(zoo.state_dict(network), name)
    with torch.no_grad():
        expected = network(zoo.to_torch(pixels))
    options = {"reference": True} if name in CONTEXT else {}
    model = build(spec)
    run = jax.jit(lambda params, x: model.apply({"params": params}, x, **options))
    found = run(params, pixels[None] / np.float32(255))
    likelihoods = {"y": found.y_likelihoods, "z": found.z_likelihoods}
    for latent, theirs in expected["likelihoods"].items():
        np.testing.assert_allclose(nchw(likelihoods[latent]), theirs, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(
        nchw(found.x_hat), expected["x_hat"], atol=1e-4 * float(expected["x_hat"].abs().max())
    )


@pytest.mark.parity
@pytest.mark.parametrize("name", ZOO)
def test_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    network, pixels = zoo.tiny(name), zoo.image(2)
    from compressai.entropy_models import EntropyModel

    monkeypatch.setattr(EntropyModel, "quantize", lambda self, inputs, mode, means=None: inputs + SHIFT)
    x = zoo.to_torch(pixels)
    out = network(x)
    rate = sum(-torch.log2(values).sum() for values in out["likelihoods"].values())
    loss = rate + 1e4 * torch.mean((out["x_hat"] - x) ** 2) + network.aux_loss()
    loss.backward()
    gradients = {key: value.grad.numpy() for key, value in network.named_parameters()}

    spec, params = codec_from_state_dict(zoo.state_dict(network), name)
    model, image = build(spec), pixels[None] / np.float32(255)

    def ours(params: Mapping[str, Any]) -> jax.Array:
        found = model.apply({"params": params}, image, lambda value, centre: value + SHIFT, method="forward")
        bits = -jnp.log2(found.y_likelihoods).sum() - jnp.log2(found.z_likelihoods).sum()
        auxiliary = model.apply({"params": params}, method="auxiliary_loss")
        return bits + 1e4 * jnp.mean((found.x_hat - image) ** 2) + auxiliary

    value, found = jax.jit(jax.value_and_grad(ours))(params)
    assert float(value) == pytest.approx(float(loss.detach()), rel=1e-4)
    expected = paths.flatten(convert(gradients, ZOO[name].rules(spec), expected_params(spec)))
    for path, gradient in paths.flatten(found).items():
        largest = np.abs(expected[path]).max()
        assert largest > 0, path
        np.testing.assert_allclose(gradient, expected[path], atol=2e-3 * largest, err_msg=path)


@pytest.mark.parity
@pytest.mark.parametrize("name", SHARED_STREAMS)
def test_streams_are_those_of_compressai(name: str) -> None:
    import torch

    network, pixels = zoo.tiny(name), zoo.image(3)
    codec = Codec(stored_codec(zoo.state_dict(network), name, "zoo"))
    data = codec.compress(pixels)
    stream = container.unpack(data)
    kinds = [SectionType.Y, SectionType.Z][: 1 if name == "bmshj2018-factorized" else 2]
    ours = [stream.payloads(kind) for kind in kinds]
    with torch.no_grad():
        coded = network.compress(zoo.to_torch(pixels))
        x_hat = network.decompress(ours, coded["shape"])["x_hat"]
    assert ours == coded["strings"]
    assert 8 * len(ours[0][0]) > 2 * 4 * 8 * zoo.M  # bits: not only the likeliest symbols
    pixels_hat = nhwc(x_hat)[0] * 255
    assert np.abs(pixels_hat - codec.decompress(data)).max() < 0.51

    theirs = dict(zip(kinds, coded["strings"], strict=True))
    sections = [section._replace(payload=theirs[section.type][0]) for section in stream.sections]
    np.testing.assert_array_equal(
        codec.decompress(container.pack(stream.header, sections)), codec.decompress(data)
    )


def nchw(values: Any) -> np.ndarray:
    return np.asarray(values).transpose(0, 3, 1, 2)


def nhwc(values: Any) -> np.ndarray:
    return np.asarray(values).transpose(0, 2, 3, 1)
