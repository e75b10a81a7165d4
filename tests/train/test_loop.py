"""Training: real steps, exact resume, export, and refusals before the first step."""

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import jax
import ml_collections
import numpy as np
import pytest

from icm_jax import Codec
from icm_jax.data.image_io import write_image
from icm_jax.errors import IcmError
from icm_jax.evaluate.result import read_results
from icm_jax.models import rate_family
from icm_jax.train import loop
from icm_jax.train.config import OptimConfig
from icm_jax.train.optimizer import schedule
from icm_jax.train.registry import parse
from tests.test_codec import photo

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        write_image(folder / f"{i}.png", photo(80, 96, i))
    return folder


def smoke_config(name: str, photos) -> ml_collections.ConfigDict:
    config = importlib.import_module(f"configs.{name}").get_config("smoke")
    config.data.folder, config.data.batch_size = str(photos), 2
    config.optim.optimizer = "adam"  # compiles faster; one test takes each config's own
    return config


def leaves(tree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def training_configs() -> list[Path]:
    """Every config of a training: its `get_config` takes a variant. New ones are found by themselves."""
    return [
        path.relative_to(ROOT)
        for path in sorted((ROOT / "configs").rglob("*.py"))
        if "def get_config(variant" in path.read_text(encoding="utf-8")
    ]


def config_module(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.with_suffix("").parts))


@pytest.mark.parametrize("path", training_configs(), ids=str)
def test_smoke_variant_trains_and_exports(path, photos, tmp_path) -> None:
    config = config_module(path).get_config("smoke")
    if "eval" in config:
        config.eval.update(folder=str(photos), limit=1)
    state = loop.train(config, tmp_path)
    assert int(state.step) == config.optim.total_steps
    written = sorted((tmp_path / "codecs").iterdir())
    assert written
    if "eval" in config:
        codec, image = Codec.load(written[0]), photo(40, 50)
        assert codec.decompress(codec.compress(image)).shape == image.shape
        (result,) = read_results([tmp_path / "results"])
        assert len(result.points) == len(written) == len(config.rate.lmbda)


@pytest.mark.parametrize("path", training_configs(), ids=str)
def test_config_opens_with_its_launch_line_and_says_what_to_expect(path) -> None:
    text = config_module(path).__doc__
    assert f"python -m icm_jax.main --config={path.as_posix()}" in "\n".join(text.splitlines()[:8])
    assert "Expected" in text or "Printed" in text


TRANSTIC = ["transtic/classification.py", "transtic/small.py"]


@pytest.mark.parametrize(
    "path", ["base_tic.py", "tic_lite.py", "mtlora/scenes.py", "dora_icm/nyud.py", *TRANSTIC]
)
def test_unknown_variants_are_refused(path) -> None:
    with pytest.raises(IcmError, match="smoek"):
        config_module(Path("configs", path)).get_config("smoek")


def test_interrupted_run_ends_with_the_same_weights(photos, tmp_path) -> None:
    config = smoke_config("tic_lite", photos)
    first_half = smoke_config("tic_lite", photos)
    first_half.optim.total_steps = 2
    for half in (first_half, config):
        half.optim.update(schedule="constant", decay_start=0.0)
    whole = loop.train(config, tmp_path / "whole")
    loop.train(first_half, tmp_path / "resumed")
    resumed = loop.train(config, tmp_path / "resumed")
    for a, b in zip(leaves(whole), leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_lowers_the_loss(photos, tmp_path) -> None:
    config = smoke_config("tic_lite", photos)
    config.rate.lmbda = (0.0067,)
    config.optim.update(total_steps=60, warmup_steps=5)
    config.log.every_steps, config.checkpoint.every_steps = 1, 1000
    loop.train(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["train"]["rd_loss"] for line in lines if "train" in line]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_run_starts_from_an_exported_codec(photos, tmp_path) -> None:
    config = smoke_config("tic_lite", photos)
    config.rate.lmbda = (0.0067,)
    config.optim.total_steps = 1
    loop.train(config, tmp_path / "first")
    config.optim.update(total_steps=1, learning_rate=0.0)
    config.init_from = str(tmp_path / "first" / "codecs" / "q1")
    state = loop.train(config, tmp_path / "second")
    stored = Codec.load(tmp_path / "first" / "codecs" / "q1").stored
    np.testing.assert_allclose(
        state.params["g_a"]["conv0"]["kernel"], stored.params["g_a"]["conv0"]["kernel"]
    )
    config.model.M = 8
    with pytest.raises(IcmError, match="a model can only grow"):
        loop.train(config, tmp_path / "third")


def test_not_finite_loss_stops_with_a_dump_and_keeps_the_weights(photos, tmp_path) -> None:
    config = smoke_config("tic_lite", photos)
    config.rate.lmbda = (float("inf"),)
    with pytest.raises(IcmError, match="not finite at step 1"):
        loop.train(config, tmp_path)
    assert json.loads((tmp_path / "not_finite.json").read_text())["step"] == 1


def test_workdir_of_another_config_is_refused(photos, tmp_path) -> None:
    config = smoke_config("tic_lite", photos)
    config.optim.total_steps = 1
    loop.train(config, tmp_path)
    config.optim.learning_rate = 1.0
    with pytest.raises(IcmError, match=r"optim.learning_rate: 0.002 -> 1.0"):
        loop.train(config, tmp_path)


def test_unknown_keys_name_the_nearest_valid_one(photos) -> None:
    config = smoke_config("tic_lite", photos)
    config.optim.learning_rat = 1.0
    with pytest.raises(IcmError, match="did you mean 'learning_rate'"):
        parse(config)
    config = smoke_config("tic_lite", photos)
    config.model["dephts"] = (1, 1, 1, 1)
    with pytest.raises(IcmError, match="did you mean 'depths'"):
        parse(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.crop", 100),
        ("rate.lmbda", ()),
        ("optim.schedule", "linear"),
        ("optim.total_steps", 0),
        ("optim.ema_decay", 1.0),
        ("eval.limit", 3),
    ],
)
def test_impossible_values_are_refused(key, value, photos) -> None:
    config = smoke_config("tic_lite", photos)
    section, name = key.split(".")
    with config.unlocked(), config.ignore_type():
        config[section][name] = value
    with pytest.raises(IcmError, match=key.replace(".", r"\.")):
        parse(config)


def test_photos_smaller_than_the_crop_are_named(photos, tmp_path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    write_image(folder / "small.png", photo(30, 30))
    config = smoke_config("tic_lite", folder)
    config.optim.total_steps = 20
    with pytest.raises(IcmError, match=r"small\.png"):
        loop.train(config, tmp_path / "run")


def test_schedules() -> None:
    cosine = schedule(
        OptimConfig(learning_rate=1.0, total_steps=100, schedule="cosine", decay_start=0.5, warmup_steps=10)
    )
    assert [round(float(cosine(step)), 3) for step in (0, 4, 30, 50, 75, 100)] == [
        0.1,
        0.5,
        1.0,
        1.0,
        0.51,
        0.02,
    ]
    halving = schedule(OptimConfig(learning_rate=1.0, total_steps=100, schedule="milestones"))
    assert [float(halving(step)) for step in (0, 51, 99)] == [1.0, 0.5, 0.25]


def test_members_of_a_new_family_are_the_codec_it_came_from() -> None:
    params = {"a": {"kernel": np.ones((3, 3, 2, 4), np.float32), "bias": np.arange(4, dtype=np.float32)}}
    family = rate_family.expand(params, 3)
    for a, b in zip(leaves(rate_family.fold(family, 2)), leaves(params), strict=True):
        np.testing.assert_array_equal(a, b)
