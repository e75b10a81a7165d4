"""All-in-One: the paper's sizes, the tasks' pictures, every option."""

import re
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from icm_jax import paths
from icm_jax.adapters.all_in_one import AllInOneSpec, TaskDecoder, TaskFeatures, paths_of, with_guests
from icm_jax.adapters.multi_scale_fusion import MultiScaleFusion
from icm_jax.adapters.registry import adapted
from icm_jax.adapters.task_aggregation import TaskAggregation
from icm_jax.errors import IcmError
from icm_jax.evaluate.complexity import parameter_count
from icm_jax.layers.resize import bilinear
from icm_jax.layers.swin import SwinStack
from icm_jax.models.registry import build
from icm_jax.models.tic import TICSpec
from tests.adapters.random_values import random_variables
from tests.tiny import BOTTLENECK, SWIN, tiny_codec

SMALL = AllInOneSpec(tasks=("a", "b"), middle=4, tam_hidden=4, msf_width=4, msf_window=4)
OPTIONS = [
    {},
    {"decoder_adaptor_position": "before", "softmax_axis": "channel"},
    {"phi": "pixel", "per_task_weights": True},
    {"msf_axis": "channel", "head": "own_deconv"},
    {"phi": "none", "msf_axis": "none"},
]


@pytest.mark.parametrize(("tasks", "count"), [(("a", "b", "c", "d"), 632_240), (("a", "b", "c"), 499_748)])
def test_sizes_are_those_of_the_paper(tasks: tuple[str, ...], count: int):
    size = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    model = build(TICSpec(), AllInOneSpec(tasks=tasks))
    tree = jax.eval_shape(model.init, jax.random.key(0), size)["params"]["adapter"]
    assert parameter_count(tree) == count


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())) or "default")
def test_a_picture_is_the_shared_one_plus_what_its_head_adds(options: dict):
    spec = replace(SMALL, **options)
    base_params = tiny_codec().stored.params
    variables = random_variables(spec, BOTTLENECK)
    y_hat = jax.random.normal(jax.random.key(2), (1, 4, 8, BOTTLENECK.M))
    decode = jax.jit(lambda own: build(BOTTLENECK, spec).apply(own, y_hat, method="synthesise"))

    def pictures(variables: dict) -> list[np.ndarray]:
        return np.split(np.asarray(decode(adapted(base_params, variables))), 3, axis=-1)

    leaves = paths.flatten(variables)
    for path in ("head_a/kernel", "head_a/bias"):
        leaves[f"params/g_s/{path}"] *= 0
    shared, first, second = pictures(paths.unflatten(leaves))
    assert shared.shape == (1, 64, 128, 3)
    assert np.array_equal(shared, first) and not np.allclose(shared, second)


@pytest.mark.parametrize("count", [1, 12])
def test_stacks_of_the_base_run_once_for_any_number_of_tasks(count: int):
    spec = replace(SMALL, tasks=tuple(f"task{k}" for k in range(count)))
    calls: list[str] = []

    def counted(call, args, kwargs, context):
        if isinstance(context.module, SwinStack) and context.method_name == "__call__":
            calls.append("/".join(context.module.path))
        return call(*args, **kwargs)

    decode = partial(build(SWIN, spec).init_with_output, method="synthesise")
    y_hat = jax.ShapeDtypeStruct((2, 4, 8, SWIN.M), jnp.float32)
    with nn.intercept_methods(counted):
        decoded, _ = jax.eval_shape(decode, jax.random.key(0), y_hat)
    assert decoded.shape == (2, 64, 128, 3 * (count + 1))
    assert calls == [f"g_s/stb{i}" for i in (0, 2, 4, 6)]


def test_a_guest_changes_no_other_picture_by_a_bit():
    larger = with_guests(SMALL, ("c",))
    assert larger.pictures == ("shared", "a", "b", "c")
    old, new = (paths.flatten(random_variables(spec, BOTTLENECK)) for spec in (SMALL, larger))
    own = re.compile(paths_of(("c",)))
    assert {path for path in new if path not in old} == {path for path in new if own.fullmatch(path)}
    base, y_hat = tiny_codec().stored.params, jax.random.normal(jax.random.key(2), (1, 4, 8, BOTTLENECK.M))

    def decode(spec: AllInOneSpec, leaves: dict) -> np.ndarray:
        model = build(BOTTLENECK, spec)
        # Loops are fused as they are for users; see tests/conftest.py.
        fused = {"xla_cpu_use_fusion_emitters": True}
        run = jax.jit(
            lambda variables: model.apply(variables, y_hat, method="synthesise"), compiler_options=fused
        )
        return np.asarray(run(adapted(base, paths.unflatten(leaves))))

    before, after = decode(SMALL, old), decode(larger, new | old)
    assert np.array_equal(before, after[..., :9])
    assert not np.allclose(after[..., 9:], after[..., :3])
    with pytest.raises(IcmError, match="each once"):
        with_guests(SMALL, ("a",))


def test_heads_start_at_zero():
    fused = jnp.zeros((1, 4, 4, 3))
    heads = {"pixel_shuffle": 3 * 3 * 3 * 12 + 12, "own_deconv": 5 * 5 * 3 * 3 + 3}
    for head, count in heads.items():
        decoder = TaskDecoder(replace(SMALL, head=head))
        params = decoder.init(
            jax.random.key(0),
            jnp.zeros((1, 8, 8, 3)),
            [TaskFeatures(fused, [fused] * 2)] * 3,
            method="pictures",
        )["params"]
        assert parameter_count(params["head_a"]) == count
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(params["head_a"]))


def test_aggregation_starts_as_the_mean_and_passes_it_to_every_task():
    x, *changes = jax.random.normal(jax.random.key(0), (4, 2, 4, 5, 6))
    means = [change.mean((1, 2), keepdims=True) for change in changes]
    for axis in ("task", "channel"):
        module = TaskAggregation(4, softmax_axis=axis)
        shared, _ = module.init_with_output(jax.random.key(1), x, changes, means)
        assert np.allclose(shared, x + sum(changes) / 3, atol=1e-6)


def test_features_of_a_task_are_resized_part_by_part():
    common, own = jax.random.normal(jax.random.key(0), (2, 1, 8, 12, 3))
    features = TaskFeatures(common, [own])
    assert np.allclose(features.resized(0, (4, 3)), bilinear(features.of(0), (4, 3)), atol=1e-6)


def test_fusion_hides_the_padding_of_a_map_smaller_than_its_window():
    """A constant value stays itself only if the padded positions, which hold zeros, have no weight."""
    maps = [*jax.random.normal(jax.random.key(0), (2, 1, 4, 6, 3)), jnp.ones((1, 4, 6, 3))]
    module = MultiScaleFusion(4, window=8)
    params = module.init(jax.random.key(3), *maps, (16, 24))
    fused = module.apply(params, *maps, (16, 24))
    assert fused.shape == (1, 16, 24, 3)
    assert np.allclose(fused, fused[0, 0, 0], atol=1e-5)
    assert np.abs(fused).max() > 0.1


@pytest.mark.parametrize(
    "values", [{"tasks": ()}, {"tasks": ("a", "a")}, {"tasks": ("shared",)}, {"head": "dense"}]
)
def test_impossible_specifications(values: dict):
    with pytest.raises(IcmError):
        AllInOneSpec(**values)
