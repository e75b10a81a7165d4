"""detectron2's `.pkl` files: pickles, and so programs, of which only what describes arrays is let through.

A pickle names the functions it calls. Here these names are looked up in a short table and nowhere else, and the
table leads to the stand-ins below, not to NumPy: a file that asks for anything else is refused before it has done
anything, and what NumPy's own unpickling would do with hostile states does not matter.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from weights_convert.keymap import ConversionError

NUMERIC_KINDS = "biuf"


class StoredDtype:
    """Stands for `numpy.dtype` in a pickle: a plain numeric type whose byte order comes as its state."""

    def __init__(self, text: str, *_: object) -> None:
        self.dtype = np.dtype(str(text))
        if self.dtype.kind not in NUMERIC_KINDS:
            raise pickle.UnpicklingError(f"an array of {self.dtype}, which are no numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class StoredArray:
    """Stands for `numpy.ndarray` in a pickle: made empty, shape, type and bytes come as its state."""

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, stored, fortran, data = state
        self.array = _from_bytes(data, stored, shape, "F" if fortran else "C")


def _from_bytes(data: Any, stored: StoredDtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    # A string: how Python 2 wrote bytes.
    data = data.encode("latin1") if isinstance(data, str) else bytes(data)
    array = np.frombuffer(data, stored.dtype).reshape(shape, order="F" if order == "F" else "C")
    return array.astype(stored.dtype.newbyteorder("="))


def _from_buffer(data: Any, stored: StoredDtype, shape: tuple[int, ...], order: str) -> StoredArray:
    array = StoredArray()
    array.array = _from_bytes(data, stored, shape, order)
    return array


def _scalar(stored: StoredDtype, data: Any) -> Any:
    return _from_bytes(data, stored, (), "C")[()]


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2; the codecs of `codecs.encode` other than this stay out of reach."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How Python 3 writes empty bytes for Python 2."""
    return b""


CORES = ("core", "_core")  # of NumPy before and since 2.0
ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "ndarray"): StoredArray,
    ("numpy", "dtype"): StoredDtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): StoredArray for core in CORES},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in CORES},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in CORES},
}


class ArrayUnpickler(pickle.Unpickler):
    """Builds dictionaries, lists, plain values and arrays of numbers; refuses everything else."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """What stands for the callable that a pickle names."""
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name}, which is no array")
        return ALLOWED[module, name]


def load_pickle(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name: the entry `model` of a pickled dictionary, or the dictionary itself.

    Raises:
        ConversionError: the file asks for anything but arrays, is damaged, or holds no dictionary of arrays.
    """
    try:
        content = ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise ConversionError(f"{path} is refused: it holds {error}") from None
    except Exception as error:  # a damaged pickle can raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ConversionError(f"{path} can not be read as a pickle ({reason}); fetch it again") from None
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise ConversionError(f"{path} holds no dictionary of arrays; give a model of detectron2's zoo")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, StoredArray):
            raise ConversionError(
                f"{path}: {name!r} is no array; give a file that holds nothing but arrays under 'model'"
            )
    return {name: value.array for name, value in state.items()}
