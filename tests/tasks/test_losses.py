"""Task losses: plain formulas, gradients against differences, and labels that count nowhere."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from icm_jax.tasks.losses import (
    balanced_binary_cross_entropy,
    cross_entropy,
    depth_l1,
    normals_l1,
    unit_vectors,
)

Loss = Callable[[Array, Array], Array]
SHAPE = (2, 3, 4)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


IGNORED = np.random.default_rng(1).random(SHAPE) < 0.3
CLASSES = np.where(IGNORED, 255, np.random.default_rng(2).integers(0, 5, SHAPE))
MASK = np.where(IGNORED, 255, np.random.default_rng(3).random(SHAPE) < 0.3).astype(np.float32)
METRES = np.where(IGNORED, 255, np.random.default_rng(4).uniform(1, 5, SHAPE)).astype(np.float32)
NORMALS = np.where(
    IGNORED[..., None], 255, np.asarray(unit_vectors(jnp.asarray(np.roll(random(*SHAPE, 3), 1, axis=0))))
)

CASES: dict[str, tuple[Loss, np.ndarray, np.ndarray]] = {
    "cross_entropy": (cross_entropy, random(*SHAPE, 5), CLASSES),
    "bce_auto": (balanced_binary_cross_entropy, random(*SHAPE), MASK),
    "bce_095": (lambda x, y: balanced_binary_cross_entropy(x, y, 0.95), random(*SHAPE), MASK),
    "depth": (depth_l1, random(*SHAPE), METRES),
    "normals": (normals_l1, random(*SHAPE, 3), NORMALS),
}


def plain_cross_entropy(logits: np.ndarray, label: np.ndarray) -> float:
    logits, label = logits[~IGNORED], label[~IGNORED]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return float(-np.log(p[np.arange(len(label)), label]).mean())


def plain_bce(logits: np.ndarray, label: np.ndarray, w: float | None = None) -> float:
    p, y = 1 / (1 + np.exp(-logits[~IGNORED])), label[~IGNORED].astype(np.float64)
    w = (1 - y).mean() if w is None else w
    return float(-(w * y * np.log(p) + (1 - w) * (1 - y) * np.log(1 - p)).mean())


def plain_l1(prediction: np.ndarray, label: np.ndarray) -> float:
    return float(np.abs(prediction - label)[~IGNORED].mean())


def plain_normals(prediction: np.ndarray, label: np.ndarray) -> float:
    return plain_l1(prediction / np.linalg.norm(prediction, axis=-1, keepdims=True), label)


PLAIN: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "cross_entropy": plain_cross_entropy,
    "bce_auto": plain_bce,
    "bce_095": lambda x, y: plain_bce(x, y, 0.95),
    "depth": plain_l1,
    "normals": plain_normals,
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_plain_formula(name: str):
    loss, prediction, label = CASES[name]
    value, gradient = jax.value_and_grad(loss)(jnp.asarray(prediction), jnp.asarray(label))
    plain, at = PLAIN[name], prediction.astype(np.float64)
    assert value == pytest.approx(plain(at, label), rel=1e-5)
    differences = np.empty(at.size)
    for i, step in enumerate(np.eye(at.size) * 1e-6):
        offset = step.reshape(at.shape)
        differences[i] = (plain(at + offset, label) - plain(at - offset, label)) / 2e-6
    np.testing.assert_allclose(np.ravel(gradient), differences, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_pixels_left_out_have_neither_value_nor_gradient(name: str):
    loss, prediction, label = CASES[name]
    value, gradient = jax.value_and_grad(loss)(jnp.asarray(prediction), jnp.asarray(label))
    assert not np.asarray(gradient)[IGNORED].any()
    assert np.asarray(gradient)[~IGNORED].any()
    other = prediction.copy()
    other[IGNORED] = 1e4
    assert loss(jnp.asarray(other), jnp.asarray(label)) == value


@pytest.mark.parametrize("name", CASES)
def test_a_batch_without_labels_is_no_loss(name: str):
    loss, prediction, label = CASES[name]
    nothing = jnp.full_like(jnp.asarray(label), 255)
    value, gradient = jax.value_and_grad(loss)(jnp.asarray(prediction), nothing)
    assert value == 0
    assert not np.asarray(gradient).any()


def test_large_logits_stay_finite():
    label = jnp.asarray([[[0.0, 1.0]]])
    logits = jnp.asarray([[[300.0, -300.0]]])
    assert balanced_binary_cross_entropy(logits, label, 0.5) == 150
    assert cross_entropy(jnp.stack([logits, -logits], -1), jnp.asarray([[[1, 0]]])) == 600


def test_a_zero_vector_has_a_gradient():
    gradient = jax.grad(lambda v: unit_vectors(v).sum())(jnp.zeros((2, 3)))
    assert not np.asarray(gradient).any()
