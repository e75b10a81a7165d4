"""The networks of DoRA-ICM against their references: timm, peft, EVC, InvPT and the oracle of the decoder."""

from pathlib import Path

import numpy as np
import pytest

from weights_convert.golden import check_file
from weights_convert.golden_dora_icm import DORA_ICM_KINDS

GOLDEN = Path(__file__).parents[1] / "golden" / "dora_icm"
SHARED = (
    Path(__file__).parents[2].parent / "shared" / "golden" / "dora_icm"
)  # files too large for a repository
LARGE = ("eva_lstyle_small", "eva_tiny_full", "interp")
NEED_A_LARGE_FILE = ("eva_lstyle_intermediates",)


def find(stem: str) -> Path:
    large = stem in LARGE or stem in NEED_A_LARGE_FILE
    path = (SHARED if large else GOLDEN) / f"{stem}.npz"
    if large and not path.exists():
        pytest.skip(f"{path.name} is not beside the repository")
    return path


STEMS = sorted({path.stem for path in GOLDEN.glob("*.npz")} | set(LARGE))


@pytest.mark.parametrize("stem", STEMS)
def test_arrays_are_those_of_the_reference(stem: str) -> None:
    rows = check_file(find(stem))
    assert rows
    assert [row for row in rows if not row.passed] == []


def test_every_kind_has_a_file() -> None:
    assert [kind for kind in DORA_ICM_KINDS if not any(stem.startswith(kind) for stem in STEMS)] == []


@pytest.mark.parametrize(
    ("stem", "array"),
    [
        ("eva_dynamic", "out_nlc"),
        ("eva_tiny_d2_nonsquare", "block0"),
        ("eva_large_block", "attn_branch"),
        ("rope", "apply_y"),
        ("eva_resample", "patch_14x14_to_16x16_out"),
        ("dora_linear", "c1_g_B"),
        ("evc_dual_prior", "scales_w_1"),
    ],
)
def test_a_wrong_array_is_seen(tmp_path: Path, stem: str, array: str) -> None:
    with np.load(GOLDEN / f"{stem}.npz") as archive:
        arrays = dict(archive)
    arrays[array] = arrays[array] + 1e-3 * np.abs(arrays[array]).max()
    np.savez(tmp_path / f"{stem}.npz", **arrays)
    assert {row.array for row in check_file(tmp_path / f"{stem}.npz") if not row.passed} == {array}
