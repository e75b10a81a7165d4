"""Geometry of photos and labels: what has to stay the same does, and 255 stands wherever nothing is known."""

import numpy as np
import pytest

from icm_jax.data import augmentation
from icm_jax.data.recipes import AROUND, RECIPES, Middle, ScaleAndCrop, Warp, get_recipe
from icm_jax.errors import IcmError
from tests.data.dummy_archives import picture, unit_normals


def stored_sample(height: int = 48, width: int = 64, seed: int = 0) -> dict[str, np.ndarray]:
    """A stored sample with all labels; its depth and normals have holes in the first row."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 9, (height, width)).astype(np.float32)
    depth[0] = 0
    return {
        "image": picture(seed, height, width),
        "semseg": rng.integers(0, 21, (height, width)).astype(np.uint8),
        "human_parts": rng.integers(0, 7, (height, width)).astype(np.uint8),
        "sal": rng.integers(0, 256, (height, width)).astype(np.uint8),
        "edge": rng.integers(0, 2, (height, width)).astype(np.uint8),
        "depth": depth,
        "normals": unit_normals(seed, height, width),
    }


def assert_same(one: dict, other: dict, **tolerance) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], err_msg=name, **(tolerance or {"rtol": 0}))


def disc(size: int = 65) -> dict[str, np.ndarray]:
    """A scene that looks the same however it is turned: a bowl, seen from above, y of its normals down."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = np.hypot(x, y) + 1e-9
    slope = np.minimum(radius / radius.max(), 1)
    normals = np.stack([x / radius * slope, y / radius * slope, np.sqrt(1 - slope**2)], axis=-1)
    shade = np.repeat((255 * slope)[..., None], 3, axis=-1)
    depth = 1 + slope
    return {
        "image": shade.astype(np.float32),
        "normals": normals.astype(np.float32),
        "depth": depth.astype(np.float32),
    }


def test_mirrored_twice_is_the_same_and_once_is_not() -> None:
    sample = augmentation.prepared(stored_sample())
    once = augmentation.mirrored(sample)
    assert_same(augmentation.mirrored(once), sample)
    np.testing.assert_array_equal(once["semseg"][:, 0], sample["semseg"][:, -1])
    np.testing.assert_array_equal(once["normals"][:, 0], sample["normals"][:, -1] * [-1, 1, 1])


def test_normals_turn_with_the_picture() -> None:
    scene = disc()
    inside = np.hypot(*(np.mgrid[:65, :65] - 32)) < 28
    for degrees in (-20.0, 7.0, 90.0):
        turned = augmentation.warped(scene, degrees, 1.0)
        # The centre of turning lies half a pixel off the centre of the pixels, as in the reference.
        np.testing.assert_allclose(turned["normals"][inside], scene["normals"][inside], atol=0.05)
    wrong_way = augmentation._turned(augmentation.warped(scene, 40.0, 1.0)["normals"], np.deg2rad(-80))
    assert np.abs(wrong_way[inside] - scene["normals"][inside]).mean() > 0.2


def test_turning_keeps_lengths_and_z() -> None:
    normals = unit_normals(3)
    turned = augmentation._turned(normals, 0.3)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(normals, axis=-1), atol=1e-6)
    np.testing.assert_array_equal(turned[..., 2], normals[..., 2])
    np.testing.assert_allclose(augmentation._turned(turned, -0.3), normals, atol=1e-6)
    # atan2(x, y) grows by the angle: K. Maninis et al.
    x, y = normals[5, 5, :2]
    expected = np.sin(np.arctan2(x, y) + 0.3) * np.hypot(x, y)
    assert turned[5, 5, 0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1.2, 1.5])
def test_what_is_larger_is_nearer(scale) -> None:
    sample = augmentation.prepared(stored_sample())
    sample["depth"] = np.full_like(sample["depth"], 3.0)
    centre = np.s_[16:32, 24:40]
    for larger in (
        augmentation.warped(sample, 0.0, scale)["depth"],
        augmentation.scaled(sample, scale)["depth"],
    ):
        np.testing.assert_allclose(larger[centre], 3.0 / scale, rtol=1e-6)


def test_a_warp_by_nothing_changes_nothing() -> None:
    sample = augmentation.prepared(stored_sample())
    assert_same(augmentation.warped(sample, 0.0, 1.0), sample, atol=1e-3)


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_is_known_outside_the_picture(legacy) -> None:
    warp = Warp((48, 64), 0.0, (0.5,), of_these=True, legacy_border=legacy)
    sample = warp(stored_sample(), np.random.default_rng(0))
    corner = np.s_[:8, :8]
    for name in ("semseg", "human_parts", "sal", "edge"):
        assert (sample[name][corner] == (0 if legacy else 255)).all(), name
    assert (sample["depth"][corner] == 255).all() and (sample["normals"][corner] == 255).all()
    assert (sample["image"][corner] == 0).all()


def test_holes_of_labels_count_nowhere() -> None:
    sample = augmentation.finished(augmentation.prepared(stored_sample()))
    assert (sample["depth"][0] == 255).all() and (sample["depth"][1:] < 10).all()
    assert (sample["normals"][0] == 255).all()
    np.testing.assert_allclose(np.linalg.norm(sample["normals"][1:], axis=-1), 1, atol=1e-6)
    assert set(np.unique(sample["sal"])) == {0, 1} and set(np.unique(sample["edge"])) == {0, 1}


def test_human_parts_without_people_count_nowhere() -> None:
    sample = augmentation.prepared(stored_sample())
    for around in (0, 255):
        sample["human_parts"][:] = 0
        sample["human_parts"][:4] = around
        assert (augmentation.finished(sample)["human_parts"] == 255).all()
    sample["human_parts"][10, 10] = 3
    np.testing.assert_array_equal(augmentation.finished(sample)["human_parts"], sample["human_parts"])


def test_a_cubic_overshoot_is_clipped_and_not_wrapped() -> None:
    sample = {"image": np.zeros((8, 8, 3), np.float32)}
    sample["image"][:, 4:] = 255
    enlarged = augmentation.resized(sample, (64, 64))
    assert enlarged["image"].max() > 256 and enlarged["image"].min() < -1
    image = augmentation.finished(enlarged)["image"]
    assert image.dtype == np.uint8 and (image[:, :20] < 32).all() and (image[:, 44:] > 223).all()


def test_resizing_keeps_unit_normals_and_class_numbers() -> None:
    sample = augmentation.resized(augmentation.prepared(stored_sample()), (40, 40))
    lengths = np.linalg.norm(sample["normals"], axis=-1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()
    assert sample["semseg"].max() <= 20 and sample["semseg"].dtype == np.uint8
    assert sample["image"].shape == (40, 40, 3) and sample["depth"].shape == (40, 40)


def test_crops_are_drawn_again_while_they_are_nearly_all_of_one_class() -> None:
    sample = augmentation.prepared(stored_sample(64, 64))
    sample["semseg"][:] = 3
    sample["semseg"][:, 40:] = 5
    sample["semseg"][:8] = 255
    rng = np.random.default_rng(0)
    for _ in range(20):
        part = augmentation.cropped(sample, (24, 24), rng, tries=1000)["semseg"]
        known = part[part != 255]
        assert 0.25 < (known == 3).mean() < 0.75 or (known == 3).mean() == 0.25
    with pytest.raises(IcmError, match="judged by semseg"):
        augmentation.cropped({"image": sample["image"]}, (24, 24), rng)


def test_a_picture_of_one_class_is_cropped_all_the_same() -> None:
    sample = augmentation.prepared(stored_sample())
    sample["semseg"][:] = 3
    part = augmentation.cropped(sample, (16, 100), np.random.default_rng(0))
    assert part["image"].shape == (16, 64, 3)


def test_the_middle_is_cut_or_framed() -> None:
    sample = augmentation.prepared(stored_sample(8, 16))
    part = augmentation.middle(sample, (4, 20))
    np.testing.assert_array_equal(part["semseg"], sample["semseg"][2:6])
    framed = Middle((4, 20))(stored_sample(8, 16), np.random.default_rng(0))
    assert framed["image"].shape == (4, 20, 3) and (framed["semseg"][:, :2] == 255).all()


def test_padding_is_in_the_middle_and_never_cuts() -> None:
    sample = augmentation.padded(augmentation.prepared(stored_sample()), (58, 70), AROUND)
    assert_same({n: v[5:53, 3:67] for n, v in sample.items()}, augmentation.prepared(stored_sample()))
    assert (sample["semseg"][:5] == 255).all() and (sample["depth"][:5] == 0).all()
    assert (sample["image"][0, 0] == AROUND).all()
    with pytest.raises(IcmError, match="64×48 does not fit in 60×60"):
        augmentation.padded(augmentation.prepared(stored_sample()), (60, 60), AROUND)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_give_one_size_and_the_same_for_the_same_seed(name) -> None:
    recipe = get_recipe(name)
    one, same, other = (recipe.train(stored_sample(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert_same(one, same)
    assert (one["image"] != other["image"]).any()
    shown, again = (recipe.evaluate(stored_sample(), np.random.default_rng(seed)) for seed in (1, 2))
    assert_same(shown, again)
    for sample in (one, shown):
        assert {value.shape[:2] for value in sample.values()} == {recipe.train.size}
        assert sample["image"].dtype == np.uint8 and sample["depth"].dtype == np.float32


def test_small_pictures_are_framed_by_crops() -> None:
    sample = ScaleAndCrop((64, 64), scales=(0.5, 0.5))(stored_sample(), np.random.default_rng(0))
    assert sample["semseg"].shape == (64, 64) and (sample["semseg"] != 255).sum() == 24 * 32
    assert (sample["normals"][0, 0] == 255).all() and sample["depth"][0, 0] == 255


def test_an_unknown_recipe_lists_those_there_are() -> None:
    with pytest.raises(IcmError, match="'invpt' is unknown; choose one of astmt-pascal"):
        get_recipe("invpt")
