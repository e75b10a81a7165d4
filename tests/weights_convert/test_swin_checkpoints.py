"""Swin checkpoints in both spellings: golden values, one parameter tree, there and back."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from icm_jax.cli import main
from icm_jax.layers.window_attention import relative_position_index
from icm_jax.recognizers.registry import load_recognizer
from icm_jax.recognizers.swin import Swin, SwinSpec
from weights_convert.golden import check_file
from weights_convert.keymap import ConversionError
from weights_convert.network_map import shapes_of
from weights_convert.sources import sources_of
from weights_convert.swin import SWIN, swin_from_state_dict, swin_map
from weights_convert.torchvision import expected_params

SHARED = Path(__file__).parents[3] / "shared" / "golden" / "all_in_one"
SPEC = SwinSpec(width=8, depths=(2, 1), heads=(1, 2), windows=(3, 2), mlp_ratio=2, classes=5)


@pytest.fixture(scope="module")
def state_dict() -> dict[str, np.ndarray]:
    """By Microsoft's names, with the buffers of their checkpoints."""
    rng, shapes = np.random.default_rng(0), expected_params(Swin(SPEC))
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    buffers = {"layers.0.blocks.1.attn_mask": np.zeros((4, 9, 9), np.float32)}
    buffers |= {"layers.0.blocks.0.attn.relative_position_index": np.zeros((9, 9), np.int64)}
    return SWIN.publish(Swin(SPEC), params) | buffers


def as_timm(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    kept = {name: array for name, array in state.items() if "mask" not in name and "index" not in name}
    renamed = {name.replace("head.", "head.fc."): array for name, array in kept.items()}
    return {re.sub(r"layers\.0\.downsample", "layers.1.downsample", name): a for name, a in renamed.items()}


@pytest.mark.parametrize("name", ["timm_swin_small_exact", "timm_swin_small_padded"])
def test_swin_is_the_reference(name: str):
    path = SHARED / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not part of the repository")
    assert [row.array for row in check_file(path) if not row.passed] == []


def test_both_spellings_are_one_network(state_dict: dict[str, np.ndarray]):
    network, params = swin_from_state_dict(state_dict)
    assert network == Swin(SPEC)
    other, from_timm = swin_from_state_dict(as_timm(state_dict))
    parallel, again = swin_from_state_dict({f"module.{name}": a for name, a in state_dict.items()})
    assert other == parallel == network
    jax.tree.map(np.testing.assert_array_equal, params, from_timm)
    jax.tree.map(np.testing.assert_array_equal, params, again)


@pytest.mark.parametrize("spelling", [dict, as_timm])
def test_there_and_back_is_the_identity(tmp_path: Path, spelling, state_dict: dict[str, np.ndarray]):
    state = spelling(state_dict)
    safetensors.numpy.save_file(state, tmp_path / "swin.safetensors")
    assert list(sources_of(shapes_of(state))) == ["swin"]
    assert main(["convert", "swin", str(tmp_path / "swin.safetensors"), "-o", str(tmp_path / "swin")]) == 0
    assert load_recognizer("swin-t", tmp_path / "swin").network == Swin(SPEC)
    back = tmp_path / "back.safetensors"
    assert main(["convert", "--to-torch", str(tmp_path / "swin"), "-o", str(back)]) == 0
    arrays = safetensors.numpy.load_file(back)
    assert arrays.keys() == {name for name in state if "mask" not in name and "index" not in name}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, state[name])


def test_a_backbone_without_norm_and_head(state_dict: dict[str, np.ndarray]):
    state = {n: a for n, a in state_dict.items() if not n.startswith(("norm.", "head."))}
    network, params = swin_from_state_dict(state)
    assert (network.spec.norm, network.spec.classes) == (False, 0)
    assert "logits" not in jax.eval_shape(network.apply, {"params": params}, jnp.zeros((1, 32, 32, 3)))


def test_windows_as_short_as_their_map(state_dict: dict[str, np.ndarray]):
    """Images of 8×12 are maps of 2×3 and 1×2 tokens, whose windows of 3 and 2 have tables of 3·5 and 1·3 offsets."""
    tables = {n: a for n, a in state_dict.items() if n.endswith("bias_table")}
    rng, offsets = np.random.default_rng(1), {3: 15, 2: 3}
    short = {n: rng.normal(size=(offsets[3 - int(n[7])], a.shape[1])).astype("f") for n, a in tables.items()}
    state = as_timm(state_dict | short)
    with pytest.raises(ConversionError, match="a table of 15 relative positions is of windows that are not"):
        swin_from_state_dict(state)
    with pytest.raises(ConversionError, match="fits no window of a map of 2×2"):
        swin_from_state_dict(state, (8, 8))
    network, params = swin_from_state_dict(state, (8, 12))
    assert network.spec.windows == (3, 2)
    table, given = params["layer0_block1"]["attn"]["relative_position_bias"], short[list(tables)[1]]
    bias = table[relative_position_index(3)].reshape(3, 3, 3, 3, -1)[:2, :, :2]
    for q_row, q_column, k_row, k_column in np.ndindex(2, 3, 2, 3):
        row = (q_row - k_row + 1) * 5 + q_column - k_column + 2
        np.testing.assert_array_equal(bias[q_row, q_column, k_row, k_column], given[row])
    back = swin_map((8, 12)).invert(network, params, shapes_of(state))
    for name, array in back.items():
        np.testing.assert_array_equal(array, state[name])
