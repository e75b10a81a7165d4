"""Every error is one line with a way out, has one base class, and survives pickling."""

import ast
import pickle
import sys
from pathlib import Path

import pytest

import icm_jax.bitstream
from icm_jax.bitstream import (
    DamagedSection,
    ImageTooLarge,
    NewerVersion,
    NotAnIcmFile,
    StreamError,
    SymbolMismatch,
    TruncatedStream,
    WrongAdapter,
    WrongCodec,
)
from icm_jax.errors import IcmError

ERRORS = [
    (NotAnIcmFile(b"\x89PNG"), "icm compress"),
    (NewerVersion(2, 1), "upgrade"),
    (TruncatedStream("Y", 40, 12), "again"),
    (DamagedSection("Z", "the checksum does not match"), "again"),
    (WrongCodec("tic-lite 00112233", "tic-full 44556677"), "load"),
    (WrongAdapter("detection", "none"), "load"),
    (SymbolMismatch("hash 1 instead of 2"), "JAX_PLATFORMS=cpu"),
    (ImageTooLarge(1 << 20, 1 << 20, 1 << 28), "max_pixels"),
]


@pytest.mark.parametrize(("error", "way_out"), ERRORS, ids=lambda value: type(value).__name__)
def test_one_line_with_a_way_out(error: StreamError, way_out: str) -> None:
    assert isinstance(error, StreamError) and isinstance(error, IcmError)
    message = str(error)
    assert way_out in message and "\n" not in message
    for argument in error.args:
        assert str(argument) in message
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == message and vars(copy) == vars(error)


def test_package_imports_nothing_heavy() -> None:
    allowed = {"numpy", "numba", "icm_jax.errors", "icm_jax.bitstream"} | sys.stdlib_module_names
    for path in Path(icm_jax.bitstream.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                ours = name.split(".")[0] == "icm_jax"
                root = ".".join(name.split(".")[:2]) if ours else name.split(".")[0]
                assert root in allowed, f"{path.name} imports {name}"
