"""LoRA and DoRA: identity at first, merged as applied, several on one base, nothing of the base touched."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from icm_jax import paths
from icm_jax.adapters import low_rank
from icm_jax.adapters.low_rank import LowRankSpec
from icm_jax.errors import IcmError
from icm_jax.layers.dense import Dense
from icm_jax.models.eva02 import EVA02, EVA02Spec, eva02_spec, stack_blocks

SPEC = LowRankSpec(rank=3, alpha=6, targets=(r"layers_\d/kernel",))
MODEL = nn.Sequential([Dense(7), nn.tanh, Dense(4, use_bias=False)])
BACKBONE = EVA02Spec(width=16, depth=2, heads=2, sub_ln=True, patch=4, grid=(2, 3))


def random_like(tree: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), tree)


@pytest.fixture(scope="module")
def base() -> dict:
    return MODEL.init(jax.random.key(0), jnp.zeros((1, 5)))["params"]


@pytest.fixture(scope="module")
def x() -> jax.Array:
    return jax.random.normal(jax.random.key(1), (4, 6, 5))


def run(base: dict, adapters: dict, x: jax.Array, spec: LowRankSpec = SPEC, **kwargs: Any) -> jax.Array:
    bound = low_rank.bind(spec, adapters, train=bool(kwargs))
    return MODEL.apply({"params": base, "adapters": bound}, x, **kwargs)


@pytest.mark.parametrize("magnitude", [True, False])
def test_a_fresh_adapter_changes_nothing(base: dict, x: jax.Array, magnitude: bool) -> None:
    spec = dataclasses.replace(SPEC, magnitude=magnitude)
    adapters = low_rank.init(jax.random.key(2), spec, base)
    np.testing.assert_allclose(
        run(base, adapters, x, spec), MODEL.apply({"params": base}, x), rtol=1e-5, atol=1e-6
    )
    assert np.abs(adapters["layers_0"]["a"]).max() <= 5**-0.5


@pytest.mark.parametrize("magnitude", [True, False])
def test_merged_is_as_applied_and_comes_apart_again(base: dict, x: jax.Array, magnitude: bool) -> None:
    spec = dataclasses.replace(SPEC, magnitude=magnitude)
    adapters = random_like(low_rank.init(jax.random.key(2), spec, base), 1)  # magnitudes of either sign too
    merged = low_rank.merge(spec, base, adapters)
    np.testing.assert_allclose(
        MODEL.apply({"params": merged.params}, x), run(base, adapters, x, spec), rtol=1e-4, atol=1e-5
    )
    back = low_rank.unmerge(spec, merged, adapters)
    for ours, theirs in zip(jax.tree.leaves(back), jax.tree.leaves(base), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_norms_are_those_of_the_dense_sum() -> None:
    rng = np.random.default_rng(0)
    w, a, b = (rng.normal(size=shape) for shape in ((2, 30, 20), (2, 30, 4), (2, 4, 20)))
    expected = np.linalg.norm(w + 0.5 * a @ b, axis=-2)
    ours = low_rank.column_norms(*(jnp.asarray(leaf, jnp.float32) for leaf in (w, a, b)), 0.5)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_a_column_of_zeros_gives_no_nan(base: dict, x: jax.Array) -> None:
    base = paths.unflatten(
        paths.flatten(base) | {"layers_0/kernel": base["layers_0"]["kernel"].at[:, 2].set(0)}
    )
    adapters = low_rank.init(jax.random.key(2), SPEC, base)
    np.testing.assert_allclose(run(base, adapters, x), MODEL.apply({"params": base}, x), atol=1e-6)
    value, gradients = jax.value_and_grad(lambda adapters: jnp.sum(run(base, adapters, x) ** 2))(adapters)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    merged = low_rank.merge(SPEC, base, adapters)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(merged.params))
    assert np.isfinite(low_rank.unmerge(SPEC, merged, adapters)["layers_0"]["kernel"]).all()


def test_a_magnitude_of_zero_can_not_be_unmerged(base: dict) -> None:
    adapters = jax.tree.map(jnp.zeros_like, low_rank.init(jax.random.key(2), SPEC, base))
    with pytest.raises(IcmError, match="layers_0: a magnitude is 0"):
        low_rank.unmerge(SPEC, low_rank.merge(SPEC, base, adapters), adapters)


def test_an_adapter_for_each_example(base: dict, x: jax.Array) -> None:
    fresh = low_rank.init(jax.random.key(2), SPEC, base)
    several = [random_like(fresh, seed) for seed in range(3)]
    ids = jnp.array([2, 0, 0, 1])
    together = jax.jit(lambda stacked, ids: run(base, low_rank.choose(stacked, ids), x))(
        low_rank.stack(several), ids
    )
    for i, own in enumerate(ids.tolist()):
        np.testing.assert_allclose(
            together[i], run(base, several[own], x[i : i + 1])[0], rtol=1e-4, atol=1e-5
        )


def test_dropout_in_training_only(base: dict, x: jax.Array) -> None:
    spec = dataclasses.replace(SPEC, dropout=0.5)
    adapters = random_like(low_rank.init(jax.random.key(2), spec, base), 1)
    np.testing.assert_array_equal(run(base, adapters, x, spec), run(base, adapters, x))
    dropped = run(base, adapters, x, spec, rngs={"dropout": jax.random.key(0)})
    assert not np.allclose(dropped, run(base, adapters, x))
    fresh = low_rank.init(jax.random.key(2), spec, base)  # c = 1 and B = 0: nothing there to be dropped
    np.testing.assert_allclose(
        run(base, fresh, x, spec, rngs={"dropout": jax.random.key(0)}), run(base, fresh, x), atol=1e-5
    )


def test_gradients_are_of_the_adapters_alone(base: dict, x: jax.Array) -> None:
    adapters = low_rank.init(jax.random.key(2), SPEC, base)
    gradient = jax.jit(jax.grad(lambda adapters, base: jnp.sum(run(base, adapters, x) ** 2)))
    outputs = jax.tree.leaves(gradient.lower(adapters, base).out_info)
    assert sum(leaf.size for leaf in outputs) == low_rank.count(adapters)
    assert jax.tree.structure(gradient(adapters, base)) == jax.tree.structure(adapters)


def test_scanned_layers_are_adapted_alike() -> None:
    x = jax.random.normal(jax.random.key(1), (2, 8, 12, 3))
    base = jax.jit(EVA02(BACKBONE).init)(jax.random.key(0), x)["params"]
    spec = LowRankSpec(rank=2)
    stacked = low_rank.stack(
        [random_like(low_rank.init(jax.random.key(2), spec, base), seed) for seed in range(2)]
    )
    adapters = low_rank.choose(stacked, jnp.array([1, 0]))

    def tokens(backbone: EVA02Spec, base: dict, adapters: dict) -> jax.Array:
        variables = {"params": base, "adapters": low_rank.bind(spec, adapters)}
        return jax.jit(EVA02(backbone).apply)(variables, x).tokens

    looped = dataclasses.replace(BACKBONE, scan=True, remat=True)
    np.testing.assert_allclose(
        tokens(looped, stack_blocks(base), stack_blocks(adapters)),
        tokens(BACKBONE, base, adapters),
        atol=1e-5,
    )
    fresh = low_rank.init(jax.random.key(0), spec, stack_blocks(base))
    assert fresh["blocks"]["attn"]["q_proj"]["m"].shape == (2, 16)


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (LowRankSpec(), 1_253_376),
        (LowRankSpec(rank=16), 2_433_024),
        (LowRankSpec(rank=16, magnitude=False, targets=(r".*/(q_proj|v_proj)/kernel",)), 1_572_864),
        (LowRankSpec(targets=low_rank.QKV_UP_DOWN), 2_785_008),
        (LowRankSpec(rank=16, targets=low_rank.QKV_UP_DOWN), 5_406_192),
        (LowRankSpec(targets=low_rank.QKV_MLP), 3_571_296),
        (LowRankSpec(rank=16, targets=low_rank.QKV_MLP), 6_913_248),
    ],
)
def test_counts_on_the_large_backbone(spec: LowRankSpec, count: int) -> None:
    images = jnp.zeros((1, 16, 16, 3))
    base = jax.eval_shape(EVA02(eva02_spec("large")).init, jax.random.key(0), images)["params"]
    adapters = jax.eval_shape(lambda base: low_rank.init(jax.random.key(0), spec, base), base)
    assert low_rank.count(adapters) == count


def test_targets_that_can_not_be_adapted(base: dict) -> None:
    with pytest.raises(IcmError, match="targets: 'q_proj/kernel' fits none"):
        low_rank.init(jax.random.key(0), LowRankSpec(targets=("q_proj/kernel",)), base)
    with pytest.raises(IcmError, match=r"layers_0/bias \[7\] is no kernel"):
        low_rank.init(jax.random.key(0), LowRankSpec(targets=("layers_0/.*",)), base)
    with pytest.raises(IcmError, match="rank=0"):
        LowRankSpec(rank=0)
    with pytest.raises(IcmError, match="dropout=1"):
        LowRankSpec(dropout=1.0)
