"""Scenes and built sets behind one interface."""

import numpy as np
import pytest

from icm_jax.data.builders.build import build
from icm_jax.data.dense_sources import BuiltConfig, SceneConfig, read_source, source_values
from icm_jax.data.recipes import RECIPES, Recipe, Resize, Warp
from icm_jax.errors import IcmError
from tests.data import dummy_archives


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    root = tmp_path_factory.mktemp("sets")
    for archive in ("mti_net", "astmt"):
        dummy_archives.nyud(root / archive, archive)
        build("nyud_mt", root / archive, root / "out", as_is=True)
    dummy_archives.pascal(root / "pascal")
    build("pascal_mt", root / "pascal", root / "out", as_is=True)
    return str(root / "out")


@pytest.fixture(autouse=True)
def small_recipe(monkeypatch) -> None:
    monkeypatch.setitem(RECIPES, "small", Recipe(Warp((16, 32), 0.0, (1.0, 1.2)), Resize((16, 32))))


def shapes(batch: dict) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in batch.items()}


def test_both_kinds_give_batches_of_the_same_form(data_dir) -> None:
    scenes = SceneConfig(count=4, size=16, batch_size=2)
    built = BuiltConfig("pascal_mt", "small", threads=1, data_dir=data_dir)
    tasks = ("semseg", "normals", "edge")
    for source, size in ((scenes, (16, 16)), (built, (16, 32))):
        expected = {
            "image": (2, *size, 3),
            "semseg": (2, *size),
            "normals": (2, *size, 3),
            "edge": (2, *size),
        }
        batches = source.batches(tasks, seed=0)
        assert [shapes(next(batches)) for _ in range(3)] == [{**expected, "id": (2,)}] * 3
        assert [shapes(batch) for batch in source.held_out(tasks)] == [{**expected, "id": (2,)}]


def test_a_run_goes_on_with_its_batches(data_dir) -> None:
    for source in (
        BuiltConfig("pascal_mt", "small", threads=1, data_dir=data_dir),
        SceneConfig(count=5, size=16, batch_size=2),
    ):
        whole, later = source.batches(("normals",), seed=1), source.batches(("normals",), seed=1, first=2)
        for _ in range(2):
            next(whole)
        expected, found = next(whole), next(later)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)


def test_held_out_pictures_are_each_shown_once(data_dir) -> None:
    built = BuiltConfig("nyud_mt/mti_net", "small", batch_size=1, threads=1, data_dir=data_dir)
    assert [batch["id"].tolist() for batch in built.held_out(("depth",))] == [[0], [1]]
    fewer = BuiltConfig("nyud_mt/mti_net", "small", 1, 1, held_out_count=1, data_dir=data_dir)
    assert [batch["id"].tolist() for batch in fewer.held_out(("depth",))] == [[0]]


def test_an_archive_with_other_classes_is_refused(data_dir) -> None:
    built = BuiltConfig("nyud_mt/astmt", "small", data_dir=data_dir)
    with pytest.raises(IcmError, match="nyud_mt/astmt has 41 classes, models of nyud predict 40"):
        built.batches(("semseg",), 0)
    assert next(built.batches(("depth",), 0))["depth"].shape == (2, 16, 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "coco"}, "data.name='coco' is unknown; choose one of scenes, built, taught"),
        ({"name": "built", "recipes": "small"}, "data has no field 'recipes'; did you mean 'recipe'"),
        ({"name": "built", "recipe": "none"}, "augmentation 'none' is unknown"),
        (
            {"name": "built", "set": "kodak"},
            "data.set='kodak' has no dense tasks; choose one of nyud_mt, pascal",
        ),
    ],
)
def test_impossible_sections_are_refused(values, message) -> None:
    with pytest.raises(IcmError, match=message):
        read_source(values)


def test_sections_survive_json() -> None:
    for values in (
        {"name": "scenes", "size": 32},
        {"name": "built", "set": "pascal_mt"},
        {"name": "taught", "folder": "photos", "crop": 64},
    ):
        source = read_source(values)
        assert read_source(source_values(source)) == source
    assert read_source({}) == SceneConfig()
