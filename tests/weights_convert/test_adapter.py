"""A published checkpoint becomes a base and an adapter that code together, and the checkpoint again."""

from pathlib import Path

import numpy as np
import safetensors.numpy

from icm_jax.adapters import store
from icm_jax.adapters.sfma import SfmaSpec
from icm_jax.pretrained.store import load as load_codec
from weights_convert import converted
from weights_convert.convert_command import convert_file
from weights_convert.products import Label
from weights_convert.sources import convert_from

GOLDEN = Path(__file__).parents[1] / "golden" / "tic"


def prompted_state_dict() -> dict[str, np.ndarray]:
    """TIC with task prompts on both sides, as one checkpoint with the names of a parallel training."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("tic_small_N32M48", "variant_tp_encoder_tp_decoder_N32M48"):
        with np.load(GOLDEN / f"{name}.npz") as archive:
            arrays |= {f"module.{key[3:]}": archive[key] for key in archive.files if key.startswith("sd/")}
    return arrays


def sfma_state_dict() -> dict[str, np.ndarray]:
    """The same TIC with SFMAs whose numbers say which of the list they are."""
    base = {name: array for name, array in prompted_state_dict().items() if "prompt" not in name}
    n = base["module.g_a0.weight"].shape[0]
    shapes = {"s_down1": (4, n, 1, 1), "s_down2": (4, n, 1, 1), "s_dw": (4, 1, 5, 5), "s_up": (n, 4, 1, 1)}
    shapes |= {"f_down": (4, n, 1, 1), "f_dw": (4, 1, 3, 3), "f_inter": (4, 4, 1, 1), "f_up": (n, 4, 1, 1)}
    for side in ("encoder", "decoder"):
        for i in range(3):
            for layer, shape in shapes.items():
                base[f"{side}_sfmas.{i}.{layer}.weight"] = np.full(shape, i, np.float32)
                base[f"{side}_sfmas.{i}.{layer}.bias"] = np.zeros(shape[0], np.float32)
    return base


def test_a_checkpoint_becomes_a_base_and_an_adapter(tmp_path: Path):
    state, out = prompted_state_dict(), tmp_path / "out"
    safetensors.numpy.save_file(state, tmp_path / "det_1.safetensors")
    label = Label("det", task="detection", quality=2)
    manifest = convert_file("transtic", tmp_path / "det_1.safetensors", out, label)
    base, made = load_codec(out / "base"), store.load(out / "det.safetensors")
    assert base.quality == 2 and made.task == "detection"
    assert manifest["product"]["base_hash"] == made.base_hash == base.hash
    assert (made.spec.encoder, made.spec.decoder, made.spec.encoder_stacks) == ("task", "task", (1, 2, 3, 4))
    assert made.variables["params"]["g_s"]["stb2"].shape == (6, 16, 32)
    back = converted.to_reference(converted.read(out))
    assert len(back) == manifest["used"] == len(state) - sum(manifest["dropped"].values())
    for name, array in back.items():
        np.testing.assert_array_equal(array, state[name])


def test_which_method_is_read_from_the_names():
    arrays = sfma_state_dict()
    network, trees = convert_from("sfma", arrays)
    assert network.spec == SfmaSpec(middle=4) and not network.base.shift_mask
    first = trees["adapter"]["params"]["g_s"]["deconv1"]["f_up"]["kernel"]
    assert first.shape[-2:] == (4, network.base.N) and (first == 2).all()  # their list runs against the data
