"""Adapters against the published PyTorch code: the golden files of TransTIC, AdaptICMH and All-in-One."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.adapters.sfma import Sfma
from weights_convert.golden import check_file
from weights_convert.keymap import ConversionError
from weights_convert.sfma import branches, tic_sfma_from_state_dict
from weights_convert.transtic_prompts import infer_prompt_spec, transtic_from_state_dict

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "tests" / "golden"
SHARED = ROOT.parent / "shared" / "golden"

QUICK = ["all_in_one/aio_recommended_N3", "all_in_one/aio_recommended_N4"]
SLOW = [
    "tic/variant_tp_encoder_tp_decoder_N32M48",
    "tic/variant_tokens4_down4_dec34_N32M48",
    "tic/variant_ip_decoder_N32M48",
    "tic/transtic_small_N32M48",
    "tic/transtic_small_N32M48_train",
    "all_in_one/sfma_mid32",
    "all_in_one/sfma_mid64",
    "all_in_one/tic_sfma_small",
]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_adapters_are_the_reference(name: str):
    found = [path for root in (EMBEDDED, SHARED) if (path := root / f"{name}.npz").exists()]
    if not found:
        pytest.skip(f"{name}.npz is not part of the repository")
    failed = [
        f"{row.array}: {row.max_abs} > {row.tolerance}" for row in check_file(found[0]) if not row.passed
    ]
    assert failed == []


def test_branches_of_an_sfma_add_up():
    """As golden files have them, one by one: each from its own parameters, together what the module adds."""
    module = Sfma(4)
    x = jax.random.normal(jax.random.key(0), (1, 5, 6, 3))
    params = module.init(jax.random.key(1), x)["params"]
    found = branches(module.apply({"params": params}, x, method="change"), params)
    assert np.allclose(x + found["s_up"] + found["f_up"], module.apply({"params": params}, x), atol=1e-6)
    for name, branch in found.items():
        other = {**params, name: jax.tree.map(jnp.zeros_like, params[name])}
        assert np.allclose(
            branch, module.apply({"params": params}, x) - module.apply({"params": other}, x), atol=1e-6
        )


def test_one_wrong_element_is_seen(tmp_path: Path):
    with np.load(EMBEDDED / "all_in_one" / "aio_recommended_N3.npz") as archive:
        arrays = dict(archive)
    for name in ("S1", "attn2", "msf_out_0", "residual_2"):
        arrays[name] = arrays[name].copy()
        arrays[name].flat[0] += 1e-3
    path = tmp_path / "aio_recommended_N3.npz"
    np.savez(path, **arrays)
    assert {row.array for row in check_file(path) if not row.passed} == {
        "S1",
        "attn2",
        "msf_out_0",
        "residual_2",
    }


def base_state_dict() -> dict[str, np.ndarray]:
    with np.load(EMBEDDED / "tic" / "tic_small_N32M48.npz") as archive:
        return {name[3:]: archive[name] for name in archive.files if name.startswith("sd/")}


def test_a_base_codec_is_no_adapter():
    with pytest.raises(ConversionError, match="no TransTIC checkpoint"):
        transtic_from_state_dict(base_state_dict())
    with pytest.raises(ConversionError, match="no checkpoint of AdaptICMH"):
        tic_sfma_from_state_dict(base_state_dict())


def test_which_prompts_a_checkpoint_holds_is_read_from_its_names():
    tokens = {f"g_s{i}.residual_group.prompt_embeddings": (2, 4, 8) for i in (4, 6)}
    layers = {"g_a2_prompt_layers.0.weight": (8, 8, 3, 3), "g_a0_prompt.down1.0.weight": (16, 3, 3, 3)}
    spec = infer_prompt_spec(tokens | layers)
    assert (spec.encoder, spec.decoder, spec.encoder_stacks, spec.decoder_stacks) == (
        "instance",
        "task",
        (2,),
        (1, 2),
    )
    assert (spec.encoder_prompts, spec.decoder_prompts, spec.mask, spec.extractor_width) == (
        4,
        4,
        "reference",
        16,
    )
