"""Steering through the engine, and configs it refuses. All methods: `test_steering_methods`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax import Codec, paths
from icm_jax.adapters import store as adapter_store
from icm_jax.adapters.prompts import PromptSpec
from icm_jax.adapters.registry import initial_variables
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.errors import IcmError
from icm_jax.models.registry import build, model_spec
from icm_jax.pretrained import store
from icm_jax.train import loop
from icm_jax.train.export import make_codec
from icm_jax.train.registry import default_config, parse
from tests.test_codec import photo

BASE = {
    "name": "tic",
    "N": 16,
    "M": 16,
    "depths": (1, 1, 1, 1),
    "hyper_depths": (1, 1),
    "heads": (2, 2, 2, 2),
    "hyper_heads": (2, 2),
    "latent_gain": 8.0,
    "init": "lecun",
}
PROMPTS = {"name": "transtic", "extractor_width": 4}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    spec = model_spec(BASE)
    params = jax.jit(build(spec).init)(jax.random.key(0, impl="rbg"), jnp.zeros((1, 64, 64, 3)))["params"]
    folder = tmp_path_factory.mktemp("base")
    store.save(make_codec("tiny", 1, 0.0018, spec, params, {}), folder)
    return folder


def config_of(base, adapter: dict):
    config = default_config("transfer")
    config.adapter = adapter
    config.transfer.update(base=str(base), recognizer="mobilenet-v2", weights="random")
    config.transfer.taps = ("features.1", "features.3")
    config.data.update(folder=str(SAMPLE_FOLDER), crop=64, batch_size=2, threads=1)
    config.optim.update(total_steps=2, learning_rate=1e-3)
    return config


def test_two_steps_leave_the_base_alone_and_write_what_a_stream_can_use(base, tmp_path) -> None:
    state = loop.train(config_of(base, PROMPTS), tmp_path)
    stored = store.load(base)
    np.testing.assert_array_equal(
        state.frozen["base"]["g_a"]["conv0"]["kernel"], stored.params["g_a"]["conv0"]["kernel"]
    )
    assert all(path.startswith("adapter/params/") for path in paths.flatten(state.params))
    moved = jax.tree.leaves(state.statistics)  # the extractor's running means
    assert moved and max(float(jnp.abs(leaf).max()) for leaf in moved) > 0
    (file,) = (tmp_path / "codecs").iterdir()
    codec = Codec.load(base, adapter=file)
    image = photo(70, 90)
    assert codec.decompress(codec.compress(image)).shape == image.shape


def test_impossible_configs_are_refused(base) -> None:
    config = config_of(base, {"name": "sfma"})
    config.transfer.recognizer = "mobilnet"
    with pytest.raises(IcmError, match="'mobilnet' is unknown"):
        parse(config)
    config = config_of(base, {"name": "sfma"})
    config.adapter = {"name": "sfna"}
    with pytest.raises(IcmError, match="sfna"):
        parse(config)
    config.adapter = {"name": ("sfma", "transtic")}
    with pytest.raises(IcmError, match="names 2 adapters, a run trains one"):
        parse(config)
    config.adapter = {"name": "sfma", "extractor_width": 4}
    with pytest.raises(IcmError, match="adapter has no field 'extractor_width'"):
        parse(config)
    config = config_of(base, {"name": "sfma"})
    config.transfer.weights = "/nowhere"
    with pytest.raises(IcmError, match="no weights at /nowhere"):
        parse(config)


def test_a_decoder_can_be_given_rounded_latents(base) -> None:
    """Then the picture does not depend on the noise, only the rate does."""
    x = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    seen = {}
    for decoder in ("noise", "rounded"):
        config = config_of(base, {"name": "sfma", "zero_init": True})
        config.transfer.update(decoder=decoder, drop_path=False)
        _, objective = parse(config)
        params = objective.initial_params(jax.random.key(0, impl="rbg"))
        metrics = jax.jit(lambda params, key, loss=objective.loss: loss(params, {"image": x}, 0, key).metrics)
        seen[decoder] = [metrics(params, jax.random.key(i)) for i in range(2)]
    distortions = {name: [float(m["distortion"]) for m in metrics] for name, metrics in seen.items()}
    assert distortions["rounded"][0] == distortions["rounded"][1]
    assert distortions["noise"][0] != distortions["noise"][1]
    assert seen["rounded"][0]["bpp"] != seen["rounded"][1]["bpp"]


def test_an_adapter_starts_from_that_of_another_rate(base, tmp_path) -> None:
    loop.train(config_of(base, PROMPTS), tmp_path / "first")
    (file,) = (tmp_path / "first" / "codecs").iterdir()
    stored = store.load(base)
    store.save(make_codec("tiny", 2, 0.0035, stored.spec, stored.params, {}), tmp_path / "q2")
    config = config_of(tmp_path / "q2", PROMPTS)
    config.init_from = str(file)
    _, objective = parse(config)
    started = paths.flatten(objective.initial_params(jax.random.key(1))["adapter"])
    for path, leaf in paths.flatten(adapter_store.load(file).variables).items():
        np.testing.assert_array_equal(started[path], leaf)


def test_an_adapter_that_does_not_fit_is_no_start(base, tmp_path) -> None:
    stored, file = store.load(base), tmp_path / "a.safetensors"
    variables = initial_variables(PromptSpec(extractor_width=4), stored.spec, jax.random.key(0))
    made = adapter_store.make_adapter("a", "", PromptSpec(extractor_width=4), variables, stored)
    adapter_store.save(made, file)
    config = config_of(base, {**PROMPTS, "extractor_width": 8})
    config.init_from = str(file)
    with pytest.raises(IcmError, match="the config asks for"):
        parse(config)
    del variables["params"]["g_s"]  # as of a base with fewer layers
    made = adapter_store.make_adapter("a", "", PromptSpec(extractor_width=4), variables, stored)
    adapter_store.save(made, file)
    config.adapter = PROMPTS
    with pytest.raises(IcmError, match="other sizes than this base"):
        parse(config)


def test_objectives_that_start_afresh_refuse_init_from() -> None:
    config = default_config("preprocessor")
    config.init_from = "runs/other"
    with pytest.raises(IcmError, match="only by base_codec, transfer, all_in_one"):
        parse(config)
