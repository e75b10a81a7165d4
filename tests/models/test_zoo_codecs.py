"""The codecs of CompressAI's zoo: sizes, streams of images, training. Values: tests/weights_convert."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.bitstream import DamagedSection, SectionType, container
from icm_jax.codec import Codec
from icm_jax.evaluate.complexity import complexity
from icm_jax.models.registry import MODELS, build, model_name, model_spec, spec_values
from icm_jax.train.export import make_codec
from weights_convert.compressai import expected_params

CHENG = ("cheng2020-anchor", "cheng2020-attn")
CONTEXT = ("mbt2018", *CHENG)
WITHOUT_Z = ("bmshj2018-factorized", "bmshj2018-factorized-relu")
# At the narrow widths of the zoo. Counts are CompressAI's; of the context's 5×5 kernels 12 of 25 taps are kept.
COUNTS = {
    "bmshj2018-factorized": 2_998_147,
    "bmshj2018-factorized-relu": 2_998_147 - 6 * (128 + 128**2),
    "bmshj2018-hyperprior": 5_075_843,
    "mbt2018-mean": 7_028_003,
    "mbt2018": 14_130_467 - 13 * 192 * 384,
    "cheng2020-anchor": 11_833_149 - 13 * 128 * 256,
    "cheng2020-attn": 13_183_293 - 13 * 128 * 256,
}


@cache
def tiny(name: str) -> Codec:
    """Random weights, shaped so that y spreads over several symbols and the scales fit it."""
    spec = MODELS[name].spec(N=8) if name in CHENG else MODELS[name].spec(N=8, M=12)
    x = np.asarray(picture(64, 64)[None], np.float32) / 255
    model = build(spec)
    params = jax.tree.map(np.array, jax.jit(model.init)(jax.random.key(0), x)["params"])
    y = jax.jit(partial(model.apply, method="analyse"))({"params": params}, x)
    last = "layer7" if name == "cheng2020-attn" else "layer6" if name in CHENG else "conv6"
    params["g_a"][last]["kernel"] *= 4 / np.asarray(y).std()
    if name not in WITHOUT_Z:
        head = params["entropy_parameters"]["dense4"] if name in CONTEXT else params["h_s"]["conv4"]
        head["bias"][: spec.M] += 4  # scales come first
    return Codec(make_codec("tiny", 1, 0.01, spec, params, {}))


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("name", COUNTS)
def test_published_sizes(name: str) -> None:
    spec = MODELS[name].spec()
    assert sum(leaf.size for leaf in jax.tree.leaves(expected_params(spec))) == COUNTS[name]
    assert model_name(spec) == name
    assert model_spec(spec_values(spec)) == spec


def test_complexity_by_hand() -> None:
    """The factorised codec without GDN: 25 taps at four scales; its decoder mirrors its encoder."""
    found = complexity(MODELS["bmshj2018-factorized-relu"].spec())
    products = 3 * 128 / 2**2 + 128 * 128 / 4**2 + 128 * 128 / 8**2 + 128 * 192 / 16**2
    assert found.enc_kmacs == pytest.approx(25e-3 * products)
    assert found.dec_kmacs == pytest.approx(25e-3 * products)
    assert found.enc_params + found.dec_params == COUNTS["bmshj2018-factorized-relu"]


SEEN_BY_OTHERS = ("bmshj2018-factorized-relu", "cheng2020-anchor")  # parts of codecs that are tested anyway


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SEEN_BY_OTHERS else n for n in COUNTS]
)
def test_round_trip(name: str) -> None:
    image, codec = picture(50, 64), tiny(name)
    data = codec.compress(image)
    decoded = codec.decompress(data)
    assert decoded.shape == image.shape and decoded.std() > 0
    assert codec.compress(image) == data
    found, estimate = codec.inspect(data), codec.estimated_bits(image)
    payload = sum(size for _, size in found.section_bytes)
    assert estimate.map.sum() == pytest.approx(estimate.bits, rel=1e-4)
    # Each rANS string ends in a state of up to 8 bytes and whole words; tables are cut for the middles of scales.
    assert abs(payload - found.guard_bytes - estimate.bits / 8) < 24 + 0.03 * estimate.bits / 8
    assert found.channel_bits.shape == (codec.stored.spec.M,) and found.channel_bits.min() > 0
    assert (found.z_bits > 0) == (name not in WITHOUT_Z)


def test_factorised_stream_is_one_string() -> None:
    codec, image = tiny("bmshj2018-factorized"), picture(50, 64)
    data = codec.compress(image)
    stream = container.unpack(data)
    assert [section.type for section in stream.sections] == [SectionType.Y]
    # The strings agree, and so do files but for the flag: there is no scale that a precision could change.
    other = container.unpack(codec.compress(image, scale_precision="float32"))
    assert other.sections == stream.sections
    with pytest.raises(DamagedSection, match="Y"):
        codec.decompress(container.pack(stream.header, []))
    with pytest.raises(DamagedSection, match="Y"):
        codec.decompress(container.pack(stream.header, [stream.sections[0]._replace(payload=bytes(8))]))


@pytest.mark.parametrize("name", ["bmshj2018-factorized", pytest.param("mbt2018", marks=pytest.mark.slow)])
def test_training_reaches_every_parameter(name: str) -> None:
    stored = tiny(name).stored
    model, x = build(stored.spec), jnp.asarray(picture(64, 64)[None], jnp.float32) / 255

    def loss(params: dict) -> jax.Array:
        rngs = {"noise": jax.random.key(1)}
        latents = model.apply({"params": params}, x, train=True, rounded=True, rngs=rngs)
        bits = -jnp.log2(latents.y_likelihoods).sum() - jnp.log2(latents.z_likelihoods).sum()
        auxiliary = model.apply({"params": params}, method="auxiliary_loss")
        return bits + 1e3 * jnp.mean((latents.x_hat - x) ** 2) + auxiliary

    gradients = jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(stored.params))
    still = [jax.tree_util.keystr(path) for path, leaf in gradients if not jnp.abs(leaf).sum() > 0]
    assert still == []
