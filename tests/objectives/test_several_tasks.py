"""All-in-One trained for a few steps: gradients through codec and networks, guests of a trained adapter, refusals."""

import dataclasses
import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.all_in_one import published
from icm_jax import Codec, paths
from icm_jax.adapters import store
from icm_jax.adapters.all_in_one import AllInOneSpec
from icm_jax.errors import IcmError
from icm_jax.objectives.all_in_one import AllInOneConfig, all_in_one
from icm_jax.objectives.base_codec import CropConfig
from icm_jax.recognizers.mobilenet_v2 import MobileNetV2
from icm_jax.recognizers.registry import with_params
from icm_jax.tasks import teachers
from icm_jax.tasks.losses import balanced_binary_cross_entropy, cross_entropy
from icm_jax.train.config import OptimConfig, run_config
from icm_jax.train.optimizer import schedule
from icm_jax.train.registry import parse
from tests.test_codec import photo
from tests.tiny import tiny_codec


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_codec().save(folder)
    return folder


def config_of(name: str, base, variant: str = "smoke"):
    config = importlib.import_module(f"configs.all_in_one.{name}").get_config(variant)
    config.all_in_one.base = str(base)
    return config


def written(config, folder, seed: int) -> tuple[dict, Path]:
    """What a run of the config trains, and the file of its adapter, with random values for trained ones."""
    _, objective = parse(config)
    trained, rest = paths.select(jax.jit(objective.initial_params)(jax.random.key(0)), objective.trainable)
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape).astype(np.float32) / 10, trained)
    (file,) = objective.export(paths.merge(moved, rest), {}, folder)
    return paths.flatten(trained), file


def test_a_trained_adapter_gets_a_guest_and_keeps_its_pictures(base, tmp_path) -> None:
    config = config_of("nyud", base, "smoke")
    trained, file = written(config, tmp_path / "first", 0)
    assert {path.split("/")[2] for path in trained} == {"g_a", "g_s"}
    assert store.load(file).task == "semseg"

    config.name, config.adapter = "more", {}
    config.all_in_one.update(tasks=("depth",), extends=str(file))
    trained, more = written(config, tmp_path / "second", 1)
    assert trained and all("_depth/" in path for path in trained)
    one, two = (Codec.load(base, adapter=adapter) for adapter in (file, more))
    data = one.compress(photo(50, 70))
    before, after = one.decompress_pictures(data), two.decompress_pictures(data)
    assert list(after) == ["shared", "semseg", "depth"]
    for name, picture in before.items():
        np.testing.assert_array_equal(after[name], picture)
    assert not np.array_equal(after["depth"], after["shared"])


def test_tasks_start_from_the_picture_of_an_sfma_adapter(base, tmp_path) -> None:
    config = config_of("photos", base, "smoke")
    config.adapter = {"name": "sfma", "middle": 4}
    config.all_in_one.tasks = ("semseg",)
    _, file = written(config, tmp_path, 0)
    tasks = ("semseg", "sal")
    config.adapter = {
        **{"name": "all-in-one", "tasks": tasks, "middle": 4, "tam_hidden": 4},
        **{"msf_width": 4, "msf_window": 4, "decoder_adaptor_position": "before"},
    }
    config.all_in_one.tasks, config.init_from = tasks, str(file)
    _, objective = parse(config)
    (made,) = objective.export(jax.jit(objective.initial_params)(jax.random.key(1)), {}, tmp_path)
    one, several = (Codec.load(base, adapter=adapter) for adapter in (file, made))
    data = one.compress(photo(50, 70))
    picture = one.decompress(data).astype(int)
    assert several.compress(photo(50, 70))[-40:] == data[-40:]  # but for the header, which names the adapter
    for other in several.decompress_pictures(several.compress(photo(50, 70))).values():
        assert abs(other - picture).max() <= 1


class Brightness:
    """A judge of one task that sees three times the brightness of its picture, which a frozen kernel says."""

    params, weights, labels = {"kernel": jnp.full(3, 3.0)}, {"bright": 2.0}, ()

    def build(self, tasks, dataset):
        return self

    def losses(self, params, pictures, x, batch):
        return {"bright": jnp.mean((pictures["bright"] - x) @ params["kernel"]) ** 2}


def test_rate_and_tasks_are_weighed_and_gradients_come_through_the_judge(base) -> None:
    spec = AllInOneSpec(tasks=("bright",), middle=4, tam_hidden=4, msf_width=4, msf_window=4)
    config = AllInOneConfig(base=str(base), rate=0.25, drop_path=False)
    objective = all_in_one(run_config({}), config, spec, Brightness(), CropConfig())
    trained, rest = paths.select(objective.initial_params(jax.random.key(0)), objective.trainable)
    batch = {"image": np.stack([photo(64, 64, seed) for seed in range(2)])}

    @jax.jit
    def gradients(trained):
        def value(trained):
            out = objective.loss(paths.merge(trained, rest), batch, 0, jax.random.key(1))
            return out.value, out.metrics

        return jax.value_and_grad(value, has_aux=True)(trained)

    (value, metrics), found = gradients(trained)
    mse = 10 ** (-metrics["psnr"] / 10)
    expected = 0.25 * (metrics["bpp"] + tiny_codec().lmbda * 255**2 * mse) + 2 * metrics["bright"]
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # A head reaches its own picture alone, so its gradient has come through the judge.
    assert float(jnp.abs(found["adapter"]["params"]["g_s"]["head_bright"]["kernel"]).max()) > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("semseg", "sal")}, "scenes has no labels of 'sal'; choose of semseg, depth"),
        ({"tasks": ("semseg",)}, "make them equal, or leave out the former"),
        ({"weights": (1.0,)}, "1 numbers for 2 tasks"),
        ({"rate": -1.0}, "must not be negative"),
    ],
)
def test_tasks_that_do_not_fit(change, message, base) -> None:
    config = config_of("nyud", base)
    config.adapter.tasks = (
        change.get("tasks", ()) if "sal" in change.get("tasks", ()) else ("semseg", "normals")
    )
    config.all_in_one.tasks = ()
    config.all_in_one.update(change)
    with pytest.raises(IcmError, match=message):
        parse(config)


def test_a_network_of_another_head_count_or_other_tasks() -> None:
    module = importlib.import_module("icm_jax.objectives.downstream")
    config = importlib.import_module("configs.all_in_one.nyud").get_config("smoke")
    values = {**config.downstream.to_dict(), "name": "mtlora"}
    made = module.read_downstream(values).build(("semseg", "depth"), "scenes")
    with pytest.raises(IcmError, match="no head of 'edge', its tasks are semseg, depth"):
        module.of_tasks(made.network, ("edge",))
    tasks = dict(made.tasks, semseg=made.tasks["semseg"]._replace(outputs=21))
    with pytest.raises(IcmError, match="predicts 6 channels of semseg, its labels have 21"):
        dataclasses.replace(made, tasks=tasks)


@pytest.mark.parametrize("name", ["pascal", "nyud", "scenes", "coco", "photos"])
def test_every_variant_has_a_name_that_streams_carry(name: str) -> None:
    module = importlib.import_module(f"configs.all_in_one.{name}")
    for method in published.ADAPTERS:
        for tasks in ("", f"-{module.TASKS[-1]}", f"-{'+'.join(module.TASKS)}"):
            config = module.get_config(method + tasks)
            store.refuse_name(config.name)
            assert config.all_in_one.tasks == (
                module.TASKS if "+" in tasks or not tasks else module.TASKS[-1:]
            )
    with pytest.raises(IcmError, match="variant 'aoi' is unknown; write METHOD or METHOD-TASK"):
        module.get_config("aoi")


def test_losses_of_teachers() -> None:
    network = with_params("mobilenet-v2", MobileNetV2(), {})
    seen, wanted = jax.random.normal(jax.random.key(0), (2, 2, 4, 4, 3))
    classes = wanted.argmax(-1)
    ours = teachers.same_classes(network, {"logits": seen}, {"logits": wanted})
    np.testing.assert_allclose(ours, cross_entropy(seen, classes))
    salient = dataclasses.replace(network, output="saliency")
    probability = jax.nn.sigmoid(wanted[..., 0])
    least, most = (reduce(probability, (1, 2), keepdims=True) for reduce in (jnp.min, jnp.max))
    label = ((probability - least) / (most - least) > 0.5).astype(jnp.float32)
    ours = teachers.same_saliency(salient, {"saliency": seen[..., :1]}, {"saliency": wanted[..., :1]})
    np.testing.assert_allclose(ours, balanced_binary_cross_entropy(seen[..., 0], label))
    answers = {"logits": wanted.reshape(2, -1)}
    least_possible = teachers.same_answer(network, answers, answers)
    assert teachers.same_answer(network, {"logits": seen.reshape(2, -1)}, answers) > least_possible
    taps = dataclasses.replace(network, taps=("a", "b"))
    pair = {"a": seen, "b": seen + 2}
    np.testing.assert_allclose(teachers.same_features(taps, pair, {"a": seen, "b": seen}), 2.0)
    with pytest.raises(IcmError, match="no network teaches task 'depth'; choose of semseg, sal"):
        teachers.teacher_task("depth")


def test_the_paper_s_schedule() -> None:
    config = OptimConfig(
        learning_rate=1.0,
        total_steps=10,
        schedule="milestones",
        milestones=(0.2, 0.4, 0.8),
        milestone_factor=0.1,
    )
    rates = [float(schedule(config)(step)) for step in range(10)]
    np.testing.assert_allclose(rates, [1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.001, 0.001], rtol=1e-5)
