"""A published checkpoint becomes a base and an adapter that code together."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from icm_jax.adapters import store
from icm_jax.adapters.sfma import SfmaSpec
from icm_jax.pretrained.store import load as load_codec
from weights_convert.adapter import convert_checkpoint, main

GOLDEN = Path(__file__).parents[1] / "golden" / "tic"


def prompted_state_dict() -> dict[str, np.ndarray]:
    """TIC with task prompts on both sides, as one checkpoint with the names of a parallel training."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("tic_small_N32M48", "variant_tp_encoder_tp_decoder_N32M48"):
        with np.load(GOLDEN / f"{name}.npz") as archive:
            arrays |= {f"module.{key[3:]}": archive[key] for key in archive.files if key.startswith("sd/")}
    return arrays


def test_a_checkpoint_becomes_a_base_and_an_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    safetensors.numpy.save_file(prompted_state_dict(), tmp_path / "det.safetensors")
    arguments = [str(tmp_path / "det.safetensors"), "--name", "det", "--task", "detection", "--out"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    base, made = load_codec(tmp_path / "out" / "base"), store.load(tmp_path / "out" / "det.safetensors")
    assert made.base_hash == base.hash and base.hash[:16] in capsys.readouterr().out
    assert (made.spec.encoder, made.spec.decoder, made.spec.encoder_stacks) == ("task", "task", (1, 2, 3, 4))
    assert made.variables["params"]["g_s"]["stb2"].shape == (6, 16, 32)


def test_which_method_is_read_from_the_names():
    arrays = prompted_state_dict()
    base = {name: array for name, array in arrays.items() if "prompt" not in name}
    n = base["module.g_a0.weight"].shape[0]
    shapes = {"s_down1": (4, n, 1, 1), "s_down2": (4, n, 1, 1), "s_dw": (4, 1, 5, 5), "s_up": (n, 4, 1, 1)}
    shapes |= {"f_down": (4, n, 1, 1), "f_dw": (4, 1, 3, 3), "f_inter": (4, 4, 1, 1), "f_up": (n, 4, 1, 1)}
    for side in ("encoder", "decoder"):
        for i in range(3):
            for layer, shape in shapes.items():
                base[f"{side}_sfmas.{i}.{layer}.weight"] = np.full(shape, i, np.float32)
                base[f"{side}_sfmas.{i}.{layer}.bias"] = np.zeros(shape[0], np.float32)
    found = convert_checkpoint(base)
    assert found.spec == SfmaSpec(middle=4) and not found.base.shift_mask
    first = found.variables["params"]["g_s"]["deconv1"]["f_up"]["kernel"]
    assert first.shape == (1, 1, 4, n) and (first == 2).all()  # the decoder's list runs against the data


def test_a_missing_checkpoint_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(tmp_path / "no.pth"), "--name", "x", "--out", str(tmp_path)]) == 2
    assert "does not exist" in capsys.readouterr().err
