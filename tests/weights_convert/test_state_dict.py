"""Files of weights: every kind is read, anything else is refused with the way out."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from weights_convert.keymap import ConversionError
from weights_convert.state_dict import read_state_dict

ARRAYS = {"conv.weight": np.arange(6, dtype=np.float32).reshape(1, 2, 3), "conv.bias": np.ones(2, np.float32)}


def write(path: Path) -> None:
    if path.suffix == ".safetensors":
        safetensors.numpy.save_file(ARRAYS, path)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps({"model": ARRAYS}))
    else:
        import torch

        torch.save({name: torch.from_numpy(array) for name, array in ARRAYS.items()}, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pkl", pytest.param(".pth", marks=pytest.mark.parity)])
def test_every_kind_gives_the_same_arrays(tmp_path: Path, suffix: str):
    write(tmp_path / f"weights{suffix}")
    arrays = read_state_dict(tmp_path / f"weights{suffix}")
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parity
def test_a_hostile_pytorch_file_writes_nothing(tmp_path: Path):
    import torch

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return open, (str(tmp_path / "written"), "w")

    torch.save({"conv.weight": Hostile()}, tmp_path / "weights.pth")
    with pytest.raises(
        ConversionError, match=r"is refused: it holds io\.open, which is no tensor; .*tensors alone"
    ):
        read_state_dict(tmp_path / "weights.pth")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights.safetensors", "can not be read as safetensors"),
        ("weights.onnx", r"unknown kind; use \.safetensors, \.pth"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, message: str):
    (tmp_path / name).write_bytes(b"nothing of the sort")
    with pytest.raises(ConversionError, match=message):
        read_state_dict(tmp_path / name)
    with pytest.raises(ConversionError, match="does not exist"):
        read_state_dict(tmp_path / f"other-{name}")
