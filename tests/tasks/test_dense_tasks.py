"""The dense tasks by name; values of the losses are compared with the reference in the golden tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.tasks.dense import TASKS, dense_task

NAMES = [(dataset, task) for dataset, tasks in TASKS.items() for task in tasks]


@pytest.mark.parametrize(("dataset", "name"), NAMES)
def test_losses_take_predictions_of_their_width_and_ignore_255(dataset: str, name: str) -> None:
    task = dense_task(dataset, name)
    prediction = jax.random.normal(jax.random.key(0), (2, 4, 5, task.outputs))
    label = jnp.ones((2, 4, 5, 3)) / 3**0.5 if name == "normals" else jnp.ones((2, 4, 5))
    value = task.loss(prediction, label)
    assert value.shape == () and value >= 0
    half = label.at[1].set(255)
    if name != "sal":  # whose class weights are of the whole batch
        np.testing.assert_allclose(
            task.loss(prediction, half), task.loss(prediction[:1], label[:1]), rtol=1e-5
        )
    assert task.loss(prediction, jnp.full_like(label, 255)) == 0


def test_names_that_are_not_there() -> None:
    with pytest.raises(IcmError, match="'kitti' is unknown; choose one of scenes, nyud, pascal"):
        dense_task("kitti", "depth")
    with pytest.raises(IcmError, match="pascal has no task 'depth'"):
        dense_task("pascal", "depth")
