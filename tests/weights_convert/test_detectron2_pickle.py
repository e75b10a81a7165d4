"""The restricted unpickler: arrays pass whatever wrote them, anything else is refused before it acts."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weights_convert.detectron2_pickle import load_pickle
from weights_convert.keymap import ConversionError


class Hostile:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *args: Any):
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def stored(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_every_protocol(tmp_path: Path, protocol: int):
    rng = np.random.default_rng(0)
    model = OrderedDict(
        a=rng.normal(size=(2, 3)).astype(np.float32),
        fortran=np.asfortranarray(rng.normal(size=(3, 4))),
        big_endian=np.arange(5).astype(">i4"),
        scalar=np.array(3, np.int64),
        empty=np.zeros((0, 4), np.float16),
    )
    content = {"model": model, "__author__": "zoo", "iteration": 7, "loss": np.float64(0.5)}
    arrays = load_pickle(stored(tmp_path / "model.pkl", content, protocol))
    assert list(arrays) == list(model)
    for name, array in model.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype.newbyteorder("=")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_hostile_file_writes_nothing(tmp_path: Path, protocol: int):
    target = tmp_path / "written"
    payloads = [
        Hostile(os.system, f"touch {target}"),
        Hostile(eval, f"open({str(target)!r}, 'w')"),
        Hostile(open, str(target), "w"),
        Hostile(np.save, str(target), 0),
    ]
    for payload in payloads:
        path = stored(tmp_path / "model.pkl", {"model": {"w": payload}}, protocol)
        with pytest.raises(ConversionError, match=r"is refused: it holds .*, which is no array"):
            load_pickle(path)
    assert list(tmp_path.iterdir()) == [tmp_path / "model.pkl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"w": np.array([{}], object)}}, "an array of object"),
        ({"model": {"w": np.array(["text"])}}, "an array of <U4"),
        ({"model": {"w": 3}}, "'w' is no array"),
        ({"model": {3: np.zeros(2)}}, "3 is no array"),
        ([1, 2], "no dictionary of arrays"),
        ({"model": {}}, "no dictionary of arrays"),
    ],
)
def test_anything_but_arrays_is_refused(tmp_path: Path, content: Any, message: str):
    with pytest.raises(ConversionError, match=message):
        load_pickle(stored(tmp_path / "model.pkl", content))


def test_a_damaged_file(tmp_path: Path):
    path = stored(tmp_path / "model.pkl", {"model": {"w": np.zeros(100)}})
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ConversionError, match=r"model\.pkl"):
        load_pickle(path)
