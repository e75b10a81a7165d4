"""Every way of steering, ablations included, trains two steps and writes and reads a file."""

from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from icm_jax import Codec, paths
from icm_jax.data.samples import SAMPLE_FOLDER
from icm_jax.errors import IcmError
from icm_jax.recognizers.registry import RECOGNIZERS
from icm_jax.recognizers.resnet import ResNet, ResNetSpec
from icm_jax.train.export import make_codec
from icm_jax.train.objective import Share
from icm_jax.train.optimizer import optimizer
from icm_jax.train.registry import default_config, parse
from icm_jax.train.state import initial_state
from icm_jax.train.step import make_train_step
from tests.test_codec import photo
from tests.tiny import SHALLOW_SWIN, tiny_codec

SFT = {"encoder_widths": (4,) * 4, "hyper_widths": (4,) * 2, "decoder_widths": (4,) * 4, "hidden": 4}
BASELINES = {
    "full fine-tuning": {},
    "SFT": {"name": "sft", **SFT},
    "channel selection": {"name": "channel-selection", "widths": (4, 4), "features": 8},
    "ROI": {"name": "roi", **SFT},
    "SFMA": {"name": "sfma", "middle": 4},
}
EVERYWHERE = (1, 2, 3, 4)
ABLATIONS = {
    "A": {},
    "B": {"encoder": "task", "encoder_stacks": EVERYWHERE},
    "C, encoder only": {"decoder": "none"},
    "D": {"encoder": "instance-shared"},
    "decoder only": {"encoder": "none"},
    "IP decoder": {"decoder": "instance"},
    "encoder STB-1": {"encoder_stacks": (1,)},
    "encoder STB-34": {"encoder_stacks": (3, 4)},
    "encoder STB-1234": {"encoder_stacks": EVERYWHERE},
    "decoder STB-12": {"decoder_stacks": (1, 2)},
    "decoder STB-34": {"decoder_stacks": (3, 4)},
    "4 prompts": {"encoder_prompts": 4, "decoder_prompts": 4},
    "64 prompts": {"encoder_prompts": 64, "decoder_prompts": 64},
    "shallow": {"shallow": True},
}
METHODS = BASELINES | {
    name: {"name": "transtic", "extractor_width": 2, **values} for name, values in ABLATIONS.items()
}
NETWORK = ResNet(ResNetSpec((1, 1, 1, 1), 4, (2, 2, 2, 2), (8, 8, 8, 8), classes=5))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base whose pictures lie within 0 to 1: far outside, all gradients but the last layer's vanish in clipping.

    So do those of an SFMA's gates where features are large: they shut on spectra, which grow with the map.
    """
    params = paths.flatten(tiny_codec(SHALLOW_SWIN).stored.params)
    params |= {"g_s/deconv7/kernel": 1e-3 * params["g_s/deconv7/kernel"], "g_s/deconv7/bias": np.full(3, 0.5)}
    params |= {f"g_s/deconv5/{name}": 0.1 * params[f"g_s/deconv5/{name}"] for name in ("kernel", "bias")}
    folder = tmp_path_factory.mktemp("base")
    Codec(make_codec("tiny", 1, 0.01, SHALLOW_SWIN, paths.unflatten(params), {})).save(folder)
    return str(folder)


def config_of(base: str, adapter: dict) -> ml_collections.ConfigDict:
    config = default_config("transfer")
    config.name, config.adapter = "steered", adapter
    config.transfer.update(base=base, recognizer="tiny", weights="random", by_lmbda=True)
    config.data.update(folder=str(SAMPLE_FOLDER), crop=128, batch_size=1, threads=1)
    config.optim.learning_rate = 1e-3
    return config


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECOGNIZERS, "tiny", RECOGNIZERS["resnet50"]._replace(network=NETWORK))


@pytest.mark.parametrize("method", METHODS)
def test_two_steps_and_a_file(method: str, base: str, tmp_path: Path) -> None:
    run, objective = parse(config_of(base, METHODS[method]))
    statistics, rest = paths.select(objective.initial_params(jax.random.key(0)), objective.statistics)
    params, frozen = paths.select(rest, objective.trainable)
    tx = optimizer(run.optim)
    state = initial_state(params, frozen, statistics, tx)
    step = jax.jit(make_train_step(objective, run, tx))
    batch = next(objective.batches(0, Share(), 0))
    for _ in range(2):
        state, metrics = step(state, batch, jax.random.key(1))
        assert metrics["finite"]
    moved = jax.tree.map(lambda new, old: bool(jnp.any(new != old)), state.params, params)
    assert all(jax.tree.leaves(moved))
    (file,) = objective.export(paths.merge(state.params, state.frozen, state.statistics), {}, tmp_path)
    codec = Codec.load(base, adapter=file) if METHODS[method] else Codec.load(file)
    image = photo(5, 7)  # smaller than a window
    data = codec.compress(np.dstack([image, image[..., 0]]) if method == "ROI" else image)
    if method == "channel selection":
        assert codec.features(data).shape == (2, 2, 8)
    else:
        assert codec.decompress(data).shape == image.shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"features": 9},
            r"adapter.tap='layer1' with adapter.features=9 is no map of tiny at H/4; .*layer1 \(8\)",
        ),
        ({"features": 8, "tap": "layer2"}, "adapter.tap='layer2'"),
    ],
)
def test_features_must_be_a_tap_of_the_network(change: dict, message: str, tmp_path: Path) -> None:
    tiny_codec().save(tmp_path)
    with pytest.raises(IcmError, match=message):
        parse(config_of(str(tmp_path), {**METHODS["channel selection"], **change}))
