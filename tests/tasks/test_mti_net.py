"""The tasks as MTI-Net weighs them, beside InvPT's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.tasks import dense
from icm_jax.tasks.mti_net import TASKS

WEIGHTS = {"semseg": 1, "human_parts": 2, "sal": 5, "normals": 10, "edge": 50, "depth": 1}


@pytest.mark.parametrize("dataset", TASKS)
def test_weights_are_the_published_ones(dataset: str):
    assert TASKS[dataset].keys() == dense.TASKS[dataset].keys()
    assert {name: task.weight for name, task in TASKS[dataset].items()}.items() <= WEIGHTS.items()


def test_saliency_is_one_logit_weighted_by_the_batch():
    task, label = TASKS["pascal"]["sal"], jnp.array([[[1.0, 0.0, 0.0, 0.0]]])
    logits = jax.random.normal(jax.random.key(0), (1, 1, 4, 1))
    x = np.asarray(logits[0, 0, :, 0], np.float64)
    nats = 0.75 * np.log1p(np.exp(-x[0])) + 0.25 * np.log1p(np.exp(x[1:])).sum()
    np.testing.assert_allclose(task.loss(logits, label), nats / 4, rtol=1e-6)


def test_normals_are_the_mean_over_entries():
    prediction, label = jax.random.normal(jax.random.key(0), (2, 1, 3, 4, 3))
    label = label / jnp.linalg.norm(label, axis=-1, keepdims=True)
    ours, theirs = (tasks["nyud"]["normals"].loss(prediction, label) for tasks in (TASKS, dense.TASKS))
    np.testing.assert_allclose(3 * ours, theirs, rtol=1e-6)
