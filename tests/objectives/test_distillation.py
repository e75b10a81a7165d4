"""Pretraining a backbone on a published network's features, and what methods then start from."""

import jax
import jax.numpy as jnp
import pytest

from configs.dora_icm import photos
from icm_jax.errors import IcmError
from icm_jax.pretrained.dora_icm import backbone_hash, read_backbone
from icm_jax.train.objective import Share
from icm_jax.train.registry import parse


def config_of_scenes(**teacher):
    config = photos.get_config("smoke,backbone")
    config.data = {"name": "scenes", "count": 4, "size": 64, "seed": 1, "batch_size": 2, "folder": ""}
    config.backbone.depth = 1
    config.teacher.update(enlarge=1, **teacher)
    return config


@pytest.fixture(scope="module")
def objective():
    return parse(config_of_scenes())[1]


def test_a_step_down_the_gradient_predicts_better_and_the_teacher_stays(objective) -> None:
    params = objective.initial_params(jax.random.key(0))
    batch = next(iter(objective.batches(0, Share(0, 1), 0)))

    def loss(params):
        return objective.loss(params, batch, jnp.int32(0), jax.random.key(1)).value

    before, gradient = jax.jit(jax.value_and_grad(loss))(params)
    assert 0.5 < before < 1.5  # 1 − cosine of what has nothing in common yet
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient["teacher"])) == 0
    moved = jax.tree.map(lambda leaf, slope: leaf - 0.05 * slope, params, gradient)
    assert jax.jit(loss)(moved) < before - 0.01


def test_methods_start_from_the_exported_backbone(objective, tmp_path) -> None:
    params = objective.initial_params(jax.random.key(0))
    (file,) = objective.export(params, {}, tmp_path)
    config = photos.get_config("smoke,dora-baseline")
    config.model.depth = 1
    config.dense.backbone = str(file)
    method = parse(config)[1].initial_params(jax.random.key(5))
    assert backbone_hash(method["model"]["backbone"]) == backbone_hash(read_backbone(file))


def test_what_can_not_be_learned_is_refused() -> None:
    with pytest.raises(
        IcmError, match=r"teacher\.tap='logits' is no map of mobilenet-v2; choose .*features\.17"
    ):
        parse(config_of_scenes(tap="logits"))
    config = config_of_scenes()
    config.teacher.enlarge = 0
    with pytest.raises(IcmError, match=r"teacher\.enlarge=0 must be at least 1"):
        parse(config)
