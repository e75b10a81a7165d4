"""DoRA-ICM's published configs, and training on data sets that were built."""

import importlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.dora_icm.methods import METHODS
from icm_jax.data.builders.build import build
from icm_jax.data.recipes import RECIPES, Recipe, Resize, Warp, get_recipe
from icm_jax.errors import IcmError
from icm_jax.objectives.dense_prediction import read_model
from icm_jax.pretrained.task_network import NETWORK_FILE, read_network
from icm_jax.tasks.dense import TASKS
from icm_jax.train import loop
from icm_jax.train.objective import Share
from icm_jax.train.registry import parse
from tests.data import dummy_archives


def config_of(dataset: str, variant: str):
    return importlib.import_module(f"configs.dora_icm.{dataset}").get_config(variant)


@pytest.mark.parametrize(
    ("dataset", "task"), [(dataset, task) for dataset in ("nyud", "pascal") for task in TASKS[dataset]]
)
def test_published_recipes_of_every_task(dataset: str, task: str) -> None:
    config = config_of(dataset, task)
    run, objective = parse(config)
    assert objective.batch_size == 2
    assert (run.optim.total_steps, run.optim.learning_rate, run.optim.weight_decay) == (160_000, 2e-5, 1e-6)
    assert config.model.outputs == TASKS[dataset][task].outputs


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_ablation_is_a_config(method: str) -> None:
    for dataset, variant in (
        ("nyud", "semseg"),
        ("pascal", "normals"),
        ("scenes", "small"),
        ("photos", "smoke"),
    ):
        config = config_of(dataset, f"{variant},{method}")
        run, _ = parse(config)
        spec = read_model(config.model.to_dict())
        assert bool(run.trainable) == (method in ("full", "scratch", "full-baseline"))
        assert spec.compress == (not method.endswith("baseline"))
        assert len(spec.decoder_widths) == (4 if method == "full-decoder" else 3)
        assert all(side % 4 == 0 for side in spec.grid)
    assert config_of("nyud", f"semseg,{method},lean").compute.remat


def test_the_backbone_in_a_loop_has_the_same_gradients() -> None:
    """Lean runs scan the blocks; in float32 nothing else changes. Without a codec, most of the compilation."""
    config = config_of("nyud", "smoke,dora-baseline,lean")
    assert config.dense.scan
    config.model.depth = 2
    config.compute.dtypes = ()

    def gradients(scan: bool) -> tuple[Any, Any]:
        config.dense.scan = scan
        _, objective = parse(config)
        params = objective.initial_params(jax.random.key(0))
        moved = jax.tree.map(lambda leaf: leaf + 0.01, params["model"]["adapter"])  # b starts at zero
        batch = next(iter(objective.batches(0, Share(0, 1), 0)))
        batch = {name: batch[name] for name in ("image", "semseg")}

        def loss(adapter: Any) -> Any:
            model = {**params["model"], "adapter": adapter}
            return objective.loss({**params, "model": model}, batch, jnp.array(0), jax.random.key(1)).value

        return jax.jit(jax.value_and_grad(loss))(moved)

    (looped, of_loop), (plain, of_plain) = gradients(True), gradients(False)
    np.testing.assert_allclose(looped, plain, rtol=1e-5)
    assert len(jax.tree.leaves(of_loop)) == 2 * 3 * 3  # a, b, m of q, k, v in two blocks
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), of_loop, of_plain)


def test_patches_of_14_see_whole_photos() -> None:
    config = config_of("nyud", "depth,patch14")
    size = get_recipe(config.data.recipe).evaluate.size
    assert size == (448, 560) == tuple(14 * side for side in config.model.grid)
    with pytest.raises(IcmError, match="no way 'leaner'"):
        config_of("nyud", "depth,dora,leaner")
    with pytest.raises(IcmError, match="method 'doro' is unknown"):
        config_of("pascal", "sal,doro")


def test_a_recipe_trains_on_a_built_set(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(RECIPES, "small", Recipe(Warp((64, 64), 0.0, (1.0, 1.2)), Resize((64, 64))))
    dummy_archives.pascal(tmp_path / "archive")
    build("pascal_mt", tmp_path / "archive", tmp_path / "sets", as_is=True)
    config = config_of("pascal", "smoke,dora-baseline")  # the codec would be most of the compilation
    config.data = config_of("pascal", "sal").data
    config.data.update(recipe="small", threads=1, data_dir=str(tmp_path / "sets"))
    config.dense.task, config.model.outputs = "sal", 2
    state = loop.train(config, tmp_path / "run")
    assert int(state.step) == 2
    assert read_network(tmp_path / "run" / "codecs" / NETWORK_FILE).spec.outputs == 2
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    (validation,) = [line["validation"] for line in lines if "validation" in line]
    assert {"loss", "estimated_bpp", "final", "preliminary"} <= validation.keys()
    assert np.isfinite(list(validation.values())).all()


def test_what_does_not_fit_is_named() -> None:
    config = config_of("nyud", "semseg")
    config.dense.task = "sal"
    with pytest.raises(IcmError, match="nyud has no task 'sal'; choose one of semseg, depth, normals, edge"):
        parse(config)
    config.dense.task = "depth"
    with pytest.raises(IcmError, match=r"model\.outputs=40, but depth has 1 channels"):
        parse(config)
