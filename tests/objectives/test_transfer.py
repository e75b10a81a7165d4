"""Every way of steering trains two steps on a tiny codec, leaves the base alone, and writes what a stream can use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax import Codec, paths
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
METHODS = {
    "prompts": {"name": "transtic", "extractor_width": 4},
    "sfma": {"name": "sfma"},
    "sft": {"name": "sft"},
    "full": {},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    spec = model_spec(BASE)
    params = jax.jit(build(spec).init)(jax.random.key(0, impl="rbg"), jnp.zeros((1, 64, 64, 3)))["params"]
    folder = tmp_path_factory.mktemp("base")
    store.save(make_codec("tiny", 1, 0.0018, spec, params, {}), folder)
    return folder


def config_of(base, method: str):
    config = default_config("transfer")
    config.adapter = METHODS[method]
    config.transfer.update(base=str(base), recognizer="mobilenet-v2", weights="random")
    config.transfer.taps = ("features.1", "features.3")
    config.data.update(folder=str(SAMPLE_FOLDER), crop=64, batch_size=2, threads=1)
    config.optim.update(total_steps=2, learning_rate=1e-3)
    return config


@pytest.mark.parametrize(
    "method", ["prompts", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sfma", "sft", "full"))]
)
def test_two_steps_and_a_file(method, base, tmp_path) -> None:
    state = loop.train(config_of(base, method), tmp_path)
    stored = store.load(base)
    if method == "full":
        (folder,) = (tmp_path / "codecs").iterdir()
        codec = Codec.load(folder)
        assert codec.stored.hash != stored.hash
    else:
        np.testing.assert_array_equal(
            state.frozen["base"]["g_a"]["conv0"]["kernel"], stored.params["g_a"]["conv0"]["kernel"]
        )
        assert all(path.startswith("adapter/params/") for path in paths.flatten(state.params))
        (file,) = (tmp_path / "codecs").iterdir()
        codec = Codec.load(base, adapter=file)
    if method == "prompts":  # the extractor's running means have moved
        moved = jax.tree.leaves(state.statistics)
        assert moved and max(float(jnp.abs(leaf).max()) for leaf in moved) > 0
    image = photo(70, 90)
    assert codec.decompress(codec.compress(image)).shape == image.shape


def test_impossible_configs_are_refused(base) -> None:
    config = config_of(base, "sfma")
    config.transfer.recognizer = "mobilnet"
    with pytest.raises(IcmError, match="'mobilnet' is unknown"):
        parse(config)
    config = config_of(base, "sfma")
    config.adapter = {"name": "sfna"}
    with pytest.raises(IcmError, match="sfna"):
        parse(config)
    config = config_of(base, "sfma")
    config.transfer.weights = "/nowhere"
    with pytest.raises(IcmError, match="no weights at /nowhere"):
        parse(config)
