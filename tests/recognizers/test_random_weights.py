"""Weights drawn by shape: what a network declares, and values that pass through it without growing or dying."""

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.recognizers.detection.rcnn import RCNN
from icm_jax.recognizers.random_weights import random_params
from icm_jax.recognizers.registry import with_params
from icm_jax.recognizers.resnet import ResNet, ResNetSpec
from tests.recognizers.small_detector import small_spec

RESNET = ResNet(ResNetSpec((1, 1, 1, 1), 4, (2, 2, 2, 2), (8, 8, 8, 8), classes=5))


def test_parameters_are_those_of_the_network_and_keep_signals_alive() -> None:
    params = random_params(RESNET, 64)
    declared = jax.eval_shape(RESNET.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda leaf: leaf.shape, declared)
    images = np.random.default_rng(0).uniform(size=(2, 64, 64, 3)).astype(np.float32)
    logits = with_params("resnet50", RESNET, params).outputs(images)["logits"]
    assert 1e-3 < float(jnp.abs(logits).max()) < 1e3
    assert not np.allclose(logits[0], logits[1])


def test_detectors_get_their_heads() -> None:
    """Calling one runs no heads; they must be there all the same."""
    params = random_params(RCNN(small_spec()), 64)
    assert {"box_head", "mask_head"} <= set(params["heads"])


def test_seeds_differ() -> None:
    one, other = (random_params(RESNET, 64, seed)["classifier"]["kernel"] for seed in (0, 1))
    assert not np.array_equal(one, other)
