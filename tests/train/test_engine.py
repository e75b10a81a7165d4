"""The engine with a toy objective: sharding, accumulation, freezing, dtypes, resume, damage, NaNs, best checkpoint."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.train import digest, loop
from icm_jax.train.compute import cast
from icm_jax.train.config import MeshConfig, OptimConfig
from icm_jax.train.digest import digests
from icm_jax.train.mesh import bytes_per_device, make_mesh, param_shardings
from icm_jax.train.optimizer import optimizer
from icm_jax.train.registry import parse
from tests.train.toy import leaves, toy_config


def trace(workdir) -> list[float]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line["train"]["loss"] for line in lines if "train" in line]


def assert_same(a, b, **tolerance) -> None:
    for (path, x), (_, y) in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_allclose(x, y, err_msg=jax.tree_util.keystr(path), **tolerance)


def test_same_seed_gives_the_same_loss_trace(tmp_path) -> None:
    config = toy_config(log={"every_steps": 1})
    loop.train(config, tmp_path / "a")
    loop.train(config, tmp_path / "b")
    assert trace(tmp_path / "a") == trace(tmp_path / "b")
    assert trace(tmp_path / "a")[-1] < 0.7 * trace(tmp_path / "a")[0]


def test_accumulated_parts_are_the_whole_batch(tmp_path) -> None:
    whole = loop.train(toy_config(toy={"noise": 0.0}), tmp_path / "a")
    parts = loop.train(toy_config(toy={"noise": 0.0}, optim={"accumulate": 4}), tmp_path / "b")
    assert_same(whole.params, parts.params, rtol=1e-4, atol=1e-5)


def test_frozen_parameters_have_no_gradient_and_no_optimiser_state(tmp_path) -> None:
    state = loop.train(toy_config(trainable=("second/.*",)), tmp_path)
    assert set(paths.flatten(state.params)) == {"second/kernel", "second/bias"}
    shapes = {leaf.shape for leaf in jax.tree.leaves(state.opt_state)}
    assert (16, 64) not in shapes and (64, 4) in shapes
    config, objective = parse(toy_config())
    fresh = objective.initial_params(jax.random.key(config.seed, impl="rbg"))
    np.testing.assert_array_equal(state.frozen["first"]["kernel"], fresh["first"]["kernel"])


def test_frozen_parameters_are_saved_once_and_come_back(tmp_path) -> None:
    config = toy_config(trainable=("second/.*",), optim={"total_steps": 10})
    first = loop.train(config, tmp_path)
    config.optim.total_steps = 20
    second = loop.train(config, tmp_path)
    assert_same(first.frozen, second.frozen, rtol=0)
    assert not list((tmp_path / "checkpoints" / "20" / "params").rglob("*first*"))
    shutil.rmtree(tmp_path / "base" / "params" / "d")
    with pytest.raises(IcmError, match="base is damaged"):
        loop.train(config, tmp_path)


@pytest.mark.parametrize("key", ["trainable", "optim.rates", "optim.decay", "mesh.rules", "compute.dtypes"])
def test_rules_that_fit_nothing_stop_the_run(key, tmp_path) -> None:
    value = {"mesh.rules": "rows", "compute.dtypes": "bfloat16"}.get(key, 0.1)
    sections = {"optim": {"weight_decay": 0.1}}
    if key == "trainable":
        sections["trainable"] = ("thrid/.*",)
    else:
        section, name = key.split(".")
        sections[section] = {**sections.get(section, {}), name: (("thrid/.*", value),)}
    with pytest.raises(IcmError, match=rf"{key}: 'thrid/\.\*' fits none"):
        loop.train(toy_config(**sections), tmp_path)


def test_learning_rates_and_weight_decay_by_rule() -> None:
    params = {"a": {"kernel": jnp.ones((2, 2))}, "b": {"kernel": jnp.ones((2, 2))}}
    grads = jax.tree.map(jnp.ones_like, params)
    slow = optimizer(OptimConfig(learning_rate=0.1, rates=(("a/.*", 0.5),)))
    updates, _ = slow.update(grads, slow.init(params), params)
    np.testing.assert_allclose(updates["a"]["kernel"], 0.5 * updates["b"]["kernel"])
    decayed = optimizer(
        OptimConfig(learning_rate=0.1, clip_norm=1e9, weight_decay=1e9, decay=(("a/.*", 0.0),))
    )
    updates, _ = decayed.update(jax.tree.map(lambda g: -g, grads), decayed.init(params), params)
    assert (updates["a"]["kernel"] > 0).all() and (updates["b"]["kernel"] < 0).all()


def test_dtypes_by_rule_leave_the_master_copy_alone(tmp_path) -> None:
    params = {"first": {"kernel": jnp.ones(3), "bias": jnp.ones(3)}}
    assert cast(params, [(".*kernel", "bfloat16")])["first"]["kernel"].dtype == jnp.bfloat16
    assert cast(params, [(".*kernel", "bfloat16")])["first"]["bias"].dtype == jnp.float32
    state = loop.train(toy_config(compute={"dtypes": (("first/kernel", "bfloat16"),)}), tmp_path)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


def test_interrupted_run_is_bit_identical(tmp_path) -> None:
    whole = loop.train(toy_config(), tmp_path / "whole")
    loop.train(toy_config(optim={"total_steps": 10}), tmp_path / "resumed")
    resumed = loop.train(toy_config(), tmp_path / "resumed")
    assert_same(whole, resumed, rtol=0)


def test_flipped_bytes_are_noticed_and_the_checkpoint_before_is_taken(tmp_path, capsys) -> None:
    whole = loop.train(toy_config(), tmp_path / "whole")
    workdir = tmp_path / "damaged"
    loop.train(toy_config(optim={"total_steps": 10}), workdir)
    largest = max((workdir / "checkpoints" / "10").rglob("d/*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 0x10
    largest.write_bytes(bytes(data))
    resumed = loop.train(toy_config(), workdir)
    assert "checkpoint 10 is damaged" in capsys.readouterr().err
    assert (workdir / "damaged" / "10").is_dir()
    assert_same(whole, resumed, rtol=0)


def test_all_checkpoints_damaged_is_an_error(tmp_path) -> None:
    loop.train(toy_config(optim={"total_steps": 5}), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "5" / "optimizer")
    with pytest.raises(IcmError, match=r"all checkpoints are damaged \(5\)"):
        loop.train(toy_config(), tmp_path)


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path) -> None:
    config = toy_config(checkpoint={"every_steps": 2, "keep": 1, "best": "size"}, optim={"total_steps": 20})
    loop.train(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    sizes = {line["step"]: line["validation"]["size"] for line in lines if "validation" in line}
    best = min(sizes, key=sizes.__getitem__)
    assert best != 20
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir()} == {best, 20}
    with pytest.raises(IcmError, match="'sise' is not measured; choose one of size"):
        loop.train(toy_config(checkpoint={"best": "sise"}), tmp_path / "other")
    unvalidated = {"checkpoint": {"best": "size"}, "toy": {"validated": False}}
    with pytest.raises(IcmError, match=r"checkpoint\.best='size' is not used: this config validates nothing"):
        loop.train(toy_config(**unvalidated), tmp_path / "none")


def test_not_finite_steps_are_left_out_or_stop_the_run(tmp_path) -> None:
    state = loop.train(toy_config(toy={"poison": (3, 4)}, optim={"skip_not_finite": 2}), tmp_path / "skips")
    assert all(np.isfinite(leaf).all() for _, leaf in leaves(state.params))
    dump = json.loads((tmp_path / "skips" / "not_finite.json").read_text())
    assert dump["step"] == 5 and dump["examples"] == list(range(32, 40)) and dump["skipped"] == 2
    with pytest.raises(IcmError, match="not finite at step 5, 2 in a row"):
        loop.train(toy_config(toy={"poison": (3, 4)}, optim={"skip_not_finite": 1}), tmp_path / "stops")


def test_batches_that_can_not_be_spread_are_refused(tmp_path) -> None:
    with pytest.raises(IcmError, match=r"batch_size=8 can not be divided .* multiple of 3, such as 6"):
        loop.train(toy_config(optim={"accumulate": 3}), tmp_path)
    with pytest.raises(IcmError, match=r"mesh\.fsdp=3 does not divide the 1 device"):
        loop.train(toy_config(mesh={"fsdp": 3}), tmp_path)


def test_unknown_task_section_and_key_are_named() -> None:
    with pytest.raises(IcmError, match="objective='tyo' is unknown; choose one of base_codec"):
        parse(toy_config(objective="tyo"))
    with pytest.raises(IcmError, match=r"config\.mesh has no key 'fspd'; did you mean 'fsdp'"):
        parse(toy_config(mesh={"fspd": 2}))
    config = toy_config()
    config.optimm = {"total_steps": 3}
    with pytest.raises(IcmError, match="config has no key 'optimm'; did you mean 'optim'"):
        parse(config)


@pytest.mark.parametrize(
    ("section", "changed", "message"),
    [
        ("optim", {"power": 0.5}, r"optim\.power=0\.5 is used with optim\.schedule='polynomial' alone"),
        ("optim", {"schedule": "cosine", "milestones": (0.1,)}, r"optim\.milestones=\(0\.1,\) is used with"),
        (
            "optim",
            {"decay": ((".*", 0.0),)},
            r"optim\.decay=.* is used with optim\.weight_decay above 0 alone",
        ),
        (
            "checkpoint",
            {"best_mode": "max"},
            r"checkpoint\.best_mode='max' is used with checkpoint\.best alone",
        ),
    ],
)
def test_keys_that_nothing_reads_are_refused(section, changed, message) -> None:
    with pytest.raises(IcmError, match=message):
        parse(toy_config(**{section: changed}))


def test_profile_of_some_steps_is_written_however_the_run_ends(tmp_path) -> None:
    def traces(workdir) -> list:
        return list((workdir / "profile").rglob("*.xplane.pb"))

    loop.train(toy_config(log={"profile": (18, 25)}, optim={"total_steps": 20}), tmp_path)  # ends inside
    assert len(traces(tmp_path)) == 1
    shutil.rmtree(tmp_path / "profile")
    loop.train(toy_config(log={"profile": (10, 22)}, optim={"total_steps": 24}), tmp_path)  # resumed inside
    assert len(traces(tmp_path)) == 1
    with pytest.raises(IcmError, match=r"log\.profile=\(5, 5\) must be"):
        parse(toy_config(log={"profile": (5, 5)}))


def test_digests_notice_one_bit_and_a_swap() -> None:
    x = jnp.arange(24, dtype=jnp.float32).reshape(4, 6)
    swapped = x.at[0, 0].set(x[0, 1]).at[0, 1].set(x[0, 0])
    flipped = jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, jnp.uint32) ^ 1, jnp.float32)
    sums = {tuple(digests({"x": value})["['x']"]) for value in (x, swapped, flipped, x.reshape(6, 4).T)}
    assert len(sums) == 4
    for dtype in (jnp.bfloat16, jnp.int8, jnp.bool_, jnp.int32):
        assert digests({"x": jnp.ones(3, dtype)}) == digests({"x": jnp.ones(3, dtype)})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "bool", "int32"])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (3, 4, 5)])
def test_small_arrays_have_the_digest_of_large_ones(shape, dtype, monkeypatch) -> None:
    x = jax.random.normal(jax.random.key(0), shape).astype(dtype)
    on_the_host = digests({"x": x})
    monkeypatch.setattr(digest, "SMALL", -1)
    assert digests({"x": x}) == on_the_host


def test_shardings_by_rule() -> None:
    mesh = make_mesh(MeshConfig())
    config = MeshConfig(fsdp=1, rules=(("first/bias", "replicated"),))
    params = {"first": {"kernel": jnp.ones((16, 64)), "bias": jnp.ones(64)}}
    assert all(place.spec == PartitionSpec() for place in param_shardings(params, mesh, config).values())
    assert bytes_per_device(params) == 4 * (16 * 64 + 64)
