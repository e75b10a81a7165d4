"""EVA-02 checkpoints in every spelling give one parameter tree."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.models.eva02 import EVA02, EVA02Spec
from weights_convert.keymap import ConversionError, invert
from weights_convert.timm_eva02 import RULES, eva02_from_state_dict

SPEC = EVA02Spec(width=64, depth=2, heads=1, sub_ln=True, patch=7, grid=(3, 3))
PER_BLOCK = [
    "norm1.weight",
    "norm1.bias",
    "attn.q_proj.weight",
    "attn.q_proj.bias",
    "attn.k_proj.weight",
    "attn.v_proj.weight",
    "attn.v_proj.bias",
    "attn.proj.weight",
    "attn.proj.bias",
    "norm2.weight",
    "norm2.bias",
    "mlp.fc1_g.weight",
    "mlp.fc1_g.bias",
    "mlp.fc1_x.weight",
    "mlp.fc1_x.bias",
    "mlp.norm.weight",
    "mlp.norm.bias",
    "mlp.fc2.weight",
    "mlp.fc2.bias",
]
NAMES = ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]
NAMES += [f"blocks.{i}.{name}" for i in range(2) for name in PER_BLOCK]


@pytest.fixture(scope="module")
def params() -> dict:
    shapes = jax.eval_shape(EVA02(SPEC).init, jax.random.key(0), jnp.zeros((1, 7, 7, 3)))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def state_dict(params: dict) -> dict[str, np.ndarray]:
    return invert(params, RULES, NAMES)


def as_baai(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    spellings = {
        "fc1_g": "w1",
        "fc1_x": "w2",
        "fc2": "w3",
        r"mlp\.norm": "mlp.ffn_ln",
        r"([qv])_proj\.bias": r"\1_bias",
    }
    renamed = {}
    for name, array in arrays.items():
        for ours, theirs in spellings.items():
            name = re.sub(ours, theirs, name)
        renamed[name] = array
    extra = {"rope.freqs_cos": np.zeros((9, 64)), "blocks.0.attn.rope.freqs_sin": np.zeros((9, 64))}
    extra |= {"mask_token": np.zeros((1, 1, 64)), "lm_head.weight": np.zeros((5, 64))}
    return {f"module.{name}": array for name, array in (renamed | extra).items()}


def as_fused(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fused = dict(arrays)
    for i in range(2):
        attention, mlp = f"blocks.{i}.attn.", f"blocks.{i}.mlp."
        fused[f"{attention}qkv.weight"] = np.concatenate(
            [fused.pop(f"{attention}{kind}_proj.weight") for kind in "qkv"]
        )
        for kind in "qv":
            fused[f"{attention}{kind}_bias"] = fused.pop(f"{attention}{kind}_proj.bias")
        for part in ("weight", "bias"):
            halves = [fused.pop(f"{mlp}fc1_{half}.{part}") for half in "gx"]
            fused[f"{mlp}fc1.{part}"] = np.concatenate(halves)
    return fused


@pytest.mark.parametrize("spelling", [dict, as_baai, as_fused])
def test_every_spelling_gives_the_same_parameters(
    spelling, params: dict, state_dict: dict[str, np.ndarray]
) -> None:
    spec, converted = eva02_from_state_dict(spelling(state_dict))
    assert spec == SPEC
    assert jax.tree.structure(converted) == jax.tree.structure(params)
    assert all(map(np.array_equal, jax.tree.leaves(converted), jax.tree.leaves(params)))


def test_another_patch_keeps_the_product_with_smooth_patches(state_dict: dict[str, np.ndarray]) -> None:
    """A constant and a ramp look the same in patches of 7 and of 8, so their tokens should."""
    spec, converted = eva02_from_state_dict(state_dict, patch=8, grid=(2, 4))
    assert (spec.patch, spec.grid) == (8, (2, 4))
    assert converted["pos_embed"].shape == (1, 9, 64)
    old, new = state_dict["patch_embed.proj.weight"], converted["patch_embed"]["kernel"]
    for value in (lambda n: np.ones(n), lambda n: (np.arange(n) + 0.5) / n):
        before = np.einsum("dchw,w->dc", old, value(7))
        after = np.einsum("hwcd,w->dc", new, value(8))
        np.testing.assert_allclose(after, before, atol=0.1 * np.abs(before).max())


def test_what_is_no_eva02_is_refused(state_dict: dict[str, np.ndarray]) -> None:
    with pytest.raises(ConversionError, match="no state dict of a vision transformer"):
        eva02_from_state_dict({"conv1.weight": np.zeros((64, 3, 7, 7))})
    with pytest.raises(ConversionError, match="give source_grid"):
        eva02_from_state_dict(state_dict | {"pos_embed": np.zeros((1, 13, 64))})
    with pytest.raises(ConversionError, match=r"nothing fills blocks_1/mlp/fc2/bias"):
        eva02_from_state_dict({n: a for n, a in state_dict.items() if n != "blocks.1.mlp.fc2.bias"})
