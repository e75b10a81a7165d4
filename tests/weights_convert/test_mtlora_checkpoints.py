"""MTLoRA checkpoints: golden values, there and back, and what they say about their images."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from icm_jax.cli import main
from icm_jax.recognizers.mtlora import MTLoRA
from icm_jax.recognizers.registry import load_recognizer
from tests.recognizers.test_mtlora import SPEC, random_params
from weights_convert.golden import check_file
from weights_convert.keymap import ConversionError
from weights_convert.mtlora import MTLORA, mtlora_from_state_dict
from weights_convert.network_map import shapes_of
from weights_convert.sources import sources_of

SHARED = Path(__file__).parents[3] / "shared" / "golden" / "all_in_one"


@pytest.fixture(scope="module")
def state_dict() -> dict[str, np.ndarray]:
    return MTLORA.publish(MTLoRA(SPEC), random_params(MTLoRA(SPEC)))


def test_mtlora_is_the_reference():
    path = SHARED / "mtlora_small.npz"
    if not path.exists():
        pytest.skip(f"{path.name} is not part of the repository")
    assert [row.array for row in check_file(path) if not row.passed] == []


def test_there_and_back_is_the_identity(tmp_path: Path, state_dict: dict[str, np.ndarray]):
    counters = {f"decoders.decoders.{t}.last_layer.1.num_batches_tracked": np.array(3) for t in SPEC.tasks}
    safetensors.numpy.save_file(state_dict | counters, tmp_path / "mtlora.safetensors")
    assert list(sources_of(shapes_of(state_dict | counters))) == ["mtlora"]
    assert main(["convert", "mtlora", str(tmp_path / "mtlora.safetensors"), "-o", str(tmp_path / "out")]) == 0
    loaded = load_recognizer("mtlora", tmp_path / "out")
    assert loaded.network == MTLoRA(SPEC)
    assert loaded.outputs(np.zeros((1, 16, 16, 3), np.float32))["depth"].shape == (1, 16, 16, 1)
    back = tmp_path / "back.safetensors"
    assert main(["convert", "--to-torch", str(tmp_path / "out"), "-o", str(back)]) == 0
    arrays = safetensors.numpy.load_file(back)
    assert arrays.keys() == state_dict.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, state_dict[name])


def test_published_checkpoints_say_their_one_size(state_dict: dict[str, np.ndarray]):
    """The published networks hold a mask for every window of the one size that they take."""
    mask = {"backbone.layers.0.blocks.1.attn_mask": np.zeros((9, 4, 4), np.float32)}
    network, _ = mtlora_from_state_dict(state_dict | mask)
    assert network.spec.size_mode == "resize24"  # 3 windows of 2 tokens of 4 pixels a side


def test_another_network_is_refused(state_dict: dict[str, np.ndarray]):
    with pytest.raises(ConversionError, match="this is no checkpoint of MTLoRA"):
        mtlora_from_state_dict({"head.weight": np.zeros((5, 8), np.float32)})
    merging = {"backbone.layers.0.downsample.reduction.lora_shared_A": np.zeros((4, 32), np.float32)}
    with pytest.raises(ConversionError, match=r"no rule for .*reduction\.lora_shared_A"):
        mtlora_from_state_dict(state_dict | merging)
