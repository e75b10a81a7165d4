"""TIC against its published PyTorch implementation, and the oracle against files that are wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from weights_convert.golden import check_file, main, run_parity
from weights_convert.golden_file import GoldenError, Row
from weights_convert.parity_table import format_rows

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "tests" / "golden" / "tic"
SHARED = ROOT.parent / "shared" / "golden" / "tic"
BASE = EMBEDDED / "tic_small_N32M48.npz"


def failures(path: Path) -> list[str]:
    return [
        f"{row.array}: {row.max_abs} > {row.tolerance} {row.note}"
        for row in check_file(path)
        if not row.passed
    ]


def test_small_codec_is_the_reference():
    assert failures(BASE) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tic_small_N32M48_odd", "tic_small_N32M48_train"])
def test_odd_sizes_and_gradients_are_the_reference(name: str):
    assert failures(EMBEDDED / f"{name}.npz") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tic_small_N32M48_256x512", "tic_full_256x256", "tic_full_256x512"])
def test_larger_files(name: str):
    path = SHARED / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path} is not part of the repository")
    assert failures(path) == []


def altered(tmp_path: Path, **changes: np.ndarray) -> Path:
    """A copy of the base file with some arrays replaced or added."""
    with np.load(BASE) as archive:
        arrays = dict(archive) | {name.replace("__", "/"): array for name, array in changes.items()}
    np.savez(tmp_path / BASE.name, **arrays)
    return tmp_path / BASE.name


def base_array(name: str) -> np.ndarray:
    with np.load(BASE) as archive:
        return archive[name].copy()


def failing_arrays(path: Path) -> set[str]:
    return {row.array for row in check_file(path) if not row.passed}


def one_off(name: str, by: float) -> np.ndarray:
    """An array of the base file with its first element changed: image 0, channel 0."""
    array = base_array(name)
    array.flat[0] += by
    return array


@pytest.mark.parametrize(
    "names", [("y",), ("z", "scales", "means", "x_hat@stride3", "y_likelihoods", "act_g_a3@stride3")]
)
def test_one_wrong_element_is_seen(tmp_path: Path, names: tuple[str, ...]):
    path = altered(tmp_path, **{name: one_off(name, 2e-3) for name in names})
    assert failing_arrays(path) >= set(names)


def test_one_wrong_integer_is_seen(tmp_path: Path):
    names = ("y_symbols", "z_symbols", "gc_indexes", "eb_quantized_cdf", "gc_quantized_cdf_row20")
    changes = {name: one_off(name, 1) for name in names}
    stream = base_array("bitstream_z_1")
    stream[9] ^= 1
    # Image 0 has other symbols and indexes than its stream; of image 1 only the z stream is wrong.
    expected = {*names, "bitstream_y_0", "bitstream_z_0", "bitstream_z_1"}
    assert failing_arrays(altered(tmp_path, **changes, bitstream_z_1=stream)) == expected


def test_a_wrong_weight_is_seen(tmp_path: Path):
    name = "sd/g_a7.residual_group.blocks.1.attn.relative_position_bias_table"
    changed = {name.replace("/", "__"): base_array(name)[::-1]}  # as if the index ran from key to query
    assert "y" in failing_arrays(altered(tmp_path, **changed))


def test_unknown_arrays_fail(tmp_path: Path):
    assert failing_arrays(altered(tmp_path, surprise=np.ones(3))) == {"surprise"}


def test_kinds(tmp_path: Path):
    np.savez(tmp_path / "vae_small.npz", x=np.ones(1))
    with pytest.raises(GoldenError, match=r"unknown kind; known: .*tic_small, tic_full"):
        check_file(tmp_path / "vae_small.npz")
    np.savez(tmp_path / "tic_full_weights.npz", x=np.ones(1))
    assert [row.note for row in check_file(tmp_path / "tic_full_weights.npz")] == ["weights, no check"]
    with pytest.raises(GoldenError, match="no file, nor a folder"):
        check_file(tmp_path / "tic_small_N1M1.npz")


def test_one_bad_file_fails_the_run_but_not_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    np.savez(tmp_path / "vae_small.npz", x=np.ones(1))
    np.savez(tmp_path / "tic_full_weights.npz", x=np.ones(1))
    paths = [str(tmp_path / "vae_small.npz"), str(tmp_path / "tic_full_weights.npz")]
    assert main([*paths, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [file["passed"] for file in report["files"]] == [False, True]
    assert report["passed"] is False
    assert report["files"][0]["rows"][0]["max_abs"] is None
    assert run_parity([tmp_path / "tic_full_weights.npz"]) == 0
    table = capsys.readouterr().out
    assert "weights, no check" in table
    assert "1 of 1 arrays pass" in table


def test_arrays_that_do_not_fit_together_fail_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    altered(tmp_path, x_u8=np.zeros((3, 4), np.uint8))
    assert run_parity([tmp_path]) == 1
    printed = capsys.readouterr().out
    assert "its arrays do not fit together (" in printed and "0 of 1 arrays pass" in printed


def test_a_folder_stands_for_its_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    np.savez(tmp_path / "tic_full_weights.npz", x=np.ones(1))
    (tmp_path / "README.md").write_text("no arrays")
    assert run_parity([tmp_path]) == 0
    assert "tic_full_weights.npz" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert run_parity([tmp_path / "empty"]) == 1
    assert "no file, nor a folder" in capsys.readouterr().out


def test_table_collapses_families_but_not_failures():
    rows = [Row(f"grad/{i}", i * 1e-6, 0.0, 1e-4, True) for i in range(50)] + [
        Row("grad/bad", 1.0, 1.0, 1e-4, False)
    ]
    table = format_rows("file", rows)
    assert "worst of 50: 49" in table
    assert "grad/bad" in table
    assert "50 of 51 arrays pass, 1 FAIL" in table
