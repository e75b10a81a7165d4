"""TIC state dicts of any architecture, in every spelling that is around."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from icm_jax.models.tic import TIC, TICSpec
from weights_convert.keymap import ConversionError, invert
from weights_convert.transtic import RULES, load_checkpoint, tic_from_state_dict

SMALL = TICSpec(
    N=24,
    M=32,
    depths=(1, 2, 3, 1),
    hyper_depths=(2, 1),
    heads=(2, 4, 8, 16),
    hyper_heads=(3, 6),
    window=4,
    hyper_window=2,
    mlp_ratio=3,
)


def reference_names(spec: TICSpec) -> Iterator[str]:
    """Parameter names of the reference implementation, in the old spelling of the factorised prior."""
    depths = (*spec.depths, *spec.hyper_depths)
    analysis = [f"g_a{i}" for i in range(8)] + [f"h_a{i}" for i in range(4)]
    synthesis = [f"g_s{i}" for i in reversed(range(8))] + [f"h_s{i}" for i in reversed(range(4))]
    for transforms in (analysis, synthesis):
        for kernel, stack, depth in zip(transforms[::2], transforms[1::2], depths, strict=True):
            yield from (f"{kernel}.weight", f"{kernel}.bias")
            for block in range(depth):
                prefix = f"{stack}.residual_group.blocks.{block}"
                yield f"{prefix}.attn.relative_position_bias_table"
                for layer in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
                    yield from (f"{prefix}.{layer}.weight", f"{prefix}.{layer}.bias")
    for i in range(5):
        yield from (
            f"entropy_bottleneck._{kind}{i}"
            for kind in ("matrix", "bias", "factor")
            if (kind, i) != ("factor", 4)
        )
    yield "entropy_bottleneck.quantiles"


@pytest.fixture(scope="module")
def params() -> dict:
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(TIC(SMALL).init, jax.random.key(0), image)["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def state_dict(params: dict) -> dict[str, np.ndarray]:
    return invert(params, RULES, reference_names(SMALL))


def as_is(name: str) -> str:
    return name


def with_module_prefix(name: str) -> str:
    return f"module.{name}"


def parameter_lists(name: str) -> str:
    plural = {"_matrix": "matrices.", "_bias": "biases.", "_factor": "factors."}
    head, dot, tail = name.partition("entropy_bottleneck.")
    for old, new in plural.items():
        tail = tail.replace(old, new) if dot else tail
    return head + dot + tail


def underscored_lists(name: str) -> str:
    return parameter_lists(name).replace("bottleneck.matrices", "bottleneck._matrices")


@pytest.mark.parametrize("spelling", [as_is, with_module_prefix, parameter_lists, underscored_lists])
def test_architecture_and_parameters_come_back(spelling, params: dict, state_dict: dict[str, np.ndarray]):
    spec, converted = tic_from_state_dict({spelling(name): array for name, array in state_dict.items()})
    assert spec == SMALL
    assert jax.tree.structure(converted) == jax.tree.structure(params)
    assert all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(converted), jax.tree.leaves(params), strict=True)
    )


def test_buffers_are_dropped(state_dict: dict[str, np.ndarray]):
    buffers = {
        "g_a1.residual_group.blocks.0.attn.relative_position_index": np.zeros((16, 16), np.int64),
        "g_a3.residual_group.blocks.1.attn_mask": np.zeros((4, 16, 16)),
        "entropy_bottleneck.target": np.zeros(3),
        "entropy_bottleneck._quantized_cdf": np.zeros((24, 9), np.int32),
        "entropy_bottleneck.likelihood_lower_bound.bound": np.zeros(1),
        "gaussian_conditional.lower_bound_scale.bound": np.zeros(1),
        "gaussian_conditional.scale_bound": np.zeros(1),
        "gaussian_conditional.scale_table": np.zeros(64),
    }
    assert tic_from_state_dict(state_dict | buffers)[0] == SMALL


def test_a_missing_array_is_named(state_dict: dict[str, np.ndarray]):
    without = {name: array for name, array in state_dict.items() if name != "g_s5.bias"}
    with pytest.raises(ConversionError, match=r"nothing fills g_s/deconv5/bias \[24\]"):
        tic_from_state_dict(without)


def test_another_model_is_refused():
    with pytest.raises(ConversionError, match="not the state dict of a TIC"):
        tic_from_state_dict({"conv1.weight": np.zeros((64, 3, 7, 7))})


def test_stacks_that_disagree_are_refused(state_dict: dict[str, np.ndarray]):
    name = "g_a3.residual_group.blocks.0.attn.relative_position_bias_table"
    with pytest.raises(ConversionError, match="differ in their window"):
        tic_from_state_dict(state_dict | {name: np.zeros((225, 4))})


@pytest.mark.parity
def test_checkpoint_file(tmp_path: Path, state_dict: dict[str, np.ndarray]):
    torch = pytest.importorskip("torch")
    tensors = {f"module.{name}": torch.from_numpy(array) for name, array in state_dict.items()}
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "base_codec_1.pth.tar")
    assert tic_from_state_dict(load_checkpoint(tmp_path / "base_codec_1.pth.tar"))[0] == SMALL
    torch.save({"epoch": 3}, tmp_path / "empty.pth.tar")
    with pytest.raises(ConversionError, match="no state dict of tensors"):
        load_checkpoint(tmp_path / "empty.pth.tar")
    (tmp_path / "broken.pth.tar").write_bytes(b"not a checkpoint")
    with pytest.raises(ConversionError, match=r"can not be read .*; fetch it again"):
        load_checkpoint(tmp_path / "broken.pth.tar")
    data = (tmp_path / "base_codec_1.pth.tar").read_bytes()
    (tmp_path / "cut.pth.tar").write_bytes(data[: len(data) // 2])
    with pytest.raises(ConversionError, match=r"can not be read .*; fetch it again") as caught:
        load_checkpoint(tmp_path / "cut.pth.tar")
    assert "\n" not in str(caught.value)
