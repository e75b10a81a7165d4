"""Every metric and loss against the figures of its reference, and the oracle against figures that are wrong."""

from pathlib import Path

import numpy as np
import pytest

from weights_convert.golden import KINDS, check_file

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics"
FILES = sorted(GOLDEN.glob("*"))
NEEDS = {"bd": "bjontegaard", "coco_expected": "pycocotools"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_figures_are_those_of_the_reference(path: Path):
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    rows = check_file(path)
    assert rows
    assert [row for row in rows if not row.passed] == []


def test_every_kind_of_metric_has_a_file():
    modules = ("golden_metrics", "golden_losses", "golden_bd")
    kinds = {kind for kind, check in KINDS.items() if check.__module__.endswith(modules)}
    assert {path.stem for path in FILES} == kinds


@pytest.mark.parametrize(
    ("file", "array"),
    [
        ("semseg", "nyud/tp"),
        ("human_parts", "miou"),
        ("saliency", "px_tp"),
        ("saliency", "maxF_beta03_double_sigmoid"),
        ("depth", "log_rmse"),
        ("normals", "pct_22_5"),
        ("topk", "top5"),
        ("delta_m", "delta_m"),
        ("losses", "normals_l1"),
    ],
)
def test_a_wrong_figure_is_seen(tmp_path: Path, file: str, array: str):
    with np.load(GOLDEN / f"{file}.npz") as archive:
        arrays = dict(archive)
    arrays[array] = arrays[array] + (1 if arrays[array].dtype.kind == "i" else 1e-4)
    np.savez(tmp_path / f"{file}.npz", **arrays)
    assert {row.array for row in check_file(tmp_path / f"{file}.npz") if not row.passed} == {array}


def test_a_boundary_pixel_too_many_is_seen(tmp_path: Path):
    with np.load(GOLDEN / "edge.npz") as archive:
        arrays = {
            name: array for name, array in archive.items() if "/" not in name or name.startswith("d0075")
        }
    arrays["d0075/counts"][2, 3, 40] += 1
    np.savez(tmp_path / "edge.npz", **arrays)
    assert {row.array for row in check_file(tmp_path / "edge.npz") if not row.passed} == {"d0075/counts"}
