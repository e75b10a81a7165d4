"""EVA-02: one function in every way it can be run, any grid, and the counts of the published sizes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.models.eva02 import EVA02, EVA02Spec, eva02_spec, stack_blocks, unstack_blocks

SPEC = EVA02Spec(width=16, depth=3, heads=2, sub_ln=True, patch=4, grid=(3, 2))
CLASSIFIER_NORM = 2  # times the width: what the published counts have beyond the blocks


def apply(spec: EVA02Spec, params: dict, x: jax.Array, **kwargs: object) -> tuple:
    run = jax.jit(lambda params, x: EVA02(spec).apply({"params": params}, x, **kwargs))
    return run(params, x)


@pytest.fixture(scope="module")
def params() -> dict:
    return jax.jit(EVA02(SPEC).init)(jax.random.key(0), jnp.zeros((1, 12, 8, 3)))["params"]


@pytest.fixture(scope="module")
def x() -> jax.Array:
    return jax.random.normal(jax.random.key(1), (2, 12, 8, 3))


def test_scan_and_remat_are_the_same_function(params: dict, x: jax.Array) -> None:
    unrolled = apply(SPEC, params, x, taps=(0, 2))
    looped = dataclasses.replace(SPEC, scan=True, remat=True)
    scanned = apply(looped, stack_blocks(params), x, taps=(0, 2))
    for ours, theirs in zip(jax.tree.leaves(scanned), jax.tree.leaves(unrolled), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)

    def loss(spec: EVA02Spec, params: dict) -> jax.Array:
        return jnp.sum(EVA02(spec).apply({"params": params}, x).tokens ** 2)

    plain = jax.jit(jax.grad(lambda p: loss(SPEC, p)))(params)
    by_loop = jax.jit(jax.grad(lambda p: loss(looped, p)))(stack_blocks(params))
    for ours, theirs in zip(jax.tree.leaves(by_loop), jax.tree.leaves(stack_blocks(plain)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_stacked_parameters_come_apart_again(params: dict) -> None:
    back = unstack_blocks(stack_blocks(params))
    assert jax.tree.structure(back) == jax.tree.structure(params)
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(params)))
    looped = EVA02(dataclasses.replace(SPEC, scan=True))
    fresh = jax.eval_shape(looped.init, jax.random.key(0), jnp.zeros((1, 12, 8, 3)))["params"]
    assert jax.tree.map(jnp.shape, stack_blocks(params)) == jax.tree.map(jnp.shape, fresh)


def test_maps_are_tokens_without_the_class(params: dict, x: jax.Array) -> None:
    tokens, (last,) = apply(SPEC, params, x, taps=(2,))
    np.testing.assert_array_equal(last.reshape(2, 6, 16), tokens[:, 1:])


def test_half_precision_stays_near(params: dict, x: jax.Array) -> None:
    half = apply(dataclasses.replace(SPEC, dtype="bfloat16"), params, x).tokens
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), apply(SPEC, params, x).tokens, atol=0.1)


def test_another_grid_resizes_the_positions(params: dict) -> None:
    wide = jax.random.normal(jax.random.key(2), (1, 8, 20, 3))
    assert apply(SPEC, params, wide, taps=(0,)).maps[0].shape == (1, 2, 5, 16)


def test_drop_path_drops_in_training_only(params: dict, x: jax.Array) -> None:
    spec = dataclasses.replace(SPEC, drop_path=0.9)
    kept = apply(SPEC, params, x).tokens
    np.testing.assert_array_equal(apply(spec, params, x).tokens, kept)
    dropped = apply(spec, params, x, train=True, rngs={"drop_path": jax.random.key(0)}).tokens
    assert not np.allclose(dropped, kept)


@pytest.mark.parametrize(
    ("size", "grid", "count"),
    [
        ("tiny", (16, 16), 5_502_144),
        ("small", (16, 16), 21_621_120),
        ("base", (16, 16), 85_758_720),
        ("large", (32, 32), 304_055_232),
    ],
)
def test_counts_of_the_published_sizes(size: str, grid: tuple[int, int], count: int) -> None:
    spec = eva02_spec(size, patch=14, grid=grid)
    shapes = jax.eval_shape(EVA02(spec).init, jax.random.key(0), jnp.zeros((1, 14, 14, 3)))
    own = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert own + CLASSIFIER_NORM * spec.width == count


def test_what_can_not_be_is_refused(params: dict, x: jax.Array) -> None:
    with pytest.raises(IcmError, match="no multiple of the patch size 4"):
        apply(SPEC, params, x[:, :10])
    with pytest.raises(IcmError, match="tap 3 is no block"):
        apply(SPEC, params, x, taps=(3,))
    with pytest.raises(IcmError, match="'huge' is unknown"):
        eva02_spec("huge")
    with pytest.raises(IcmError, match="multiple of 4"):
        dataclasses.replace(SPEC, heads=3)
    with pytest.raises(IcmError, match="dtype='float16'"):
        dataclasses.replace(SPEC, dtype="float16")
