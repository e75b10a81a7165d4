"""Every recognition network against its PyTorch reference, and the oracle against files that are wrong."""

from pathlib import Path

import numpy as np
import pytest

from weights_convert.golden import check_file

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "tests" / "golden" / "recognizers"
SHARED = ROOT.parent / "shared" / "golden" / "recognizers"


def failures(path: Path) -> list[str]:
    return [
        f"{row.array}: {row.max_abs} > {row.tolerance} {row.note}"
        for row in check_file(path)
        if not row.passed
    ]


@pytest.mark.parametrize("name", ["tv_resnet_small", "d2_resnet_fpn_small", "detection_ops", "detection_e2e"])
def test_small_networks_are_the_reference(name: str):
    assert failures(EMBEDDED / f"{name}.npz") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg19_full"])
def test_vgg_is_the_reference(name: str):
    assert failures(EMBEDDED / f"{name}.npz") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "tv_resnet50_full", "d2_resnet50_fpn_full", "espnetv2", "u2netp"]
)
def test_full_networks_are_the_reference(name: str):
    path = SHARED / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"{path} is not part of the repository")
    assert failures(path) == []


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tv_resnet_small", {"layer2": 0.1, "checksum": 1e-3, "logits": 0.1}),
        (
            "detection_ops",
            {"nms_keep_0.5": 1, "roialign_P14_sr0_aligned": 1e-3, "level_d2": 1, "cell_tv_64": 1},
        ),
    ],
)
def test_one_wrong_element_is_seen(tmp_path: Path, name: str, changes: dict[str, float]):
    with np.load(EMBEDDED / f"{name}.npz") as archive:
        arrays = dict(archive)
    for array, by in changes.items():
        arrays[array] = arrays[array].copy()
        arrays[array].flat[-1] += by
    np.savez(tmp_path / f"{name}.npz", **arrays)
    assert {row.array for row in check_file(tmp_path / f"{name}.npz") if not row.passed} == set(changes)
