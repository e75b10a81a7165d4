"""Rendered scenes: the labels agree with each other and with geometry."""

import numpy as np
import pytest

from icm_jax.data.scenes import CLASSES, SceneSource, make_scene, render
from icm_jax.errors import IcmError

SIZE = 48


@pytest.fixture(scope="module")
def scenes():
    return [(make_scene(3, i), *render(make_scene(3, i), SIZE, samples=1)) for i in range(6)]


def test_a_scene_is_a_function_of_seed_and_index() -> None:
    image, labels = render(make_scene(3, 2), 16)
    again, same = render(make_scene(3, 2), 16)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(labels.depth, same.depth)
    assert (render(make_scene(3, 1), 16)[0] != image).any() and (
        render(make_scene(4, 2), 16)[0] != image
    ).any()


def test_normals_are_unit_vectors_that_face_the_camera(scenes) -> None:
    for scene, _, labels in scenes:
        np.testing.assert_allclose(np.linalg.norm(labels.normals, axis=-1), 1.0, atol=1e-5)
        v, u = np.meshgrid(*[(2.0 * np.arange(SIZE) + 1.0) / SIZE - 1.0] * 2, indexing="ij")
        ray = np.stack(
            [u, -v, np.full_like(u, -scene.focal)], axis=-1
        )  # camera looks along -z of the normals' axes
        assert ((ray * labels.normals).sum(-1) < 1e-6).all()


def test_normals_are_those_of_the_depth_map(scenes) -> None:
    """Inside a flat surface, the cross product of neighbouring points is its normal."""
    for scene, _, labels in scenes:
        v, u = np.meshgrid(*[(2.0 * np.arange(SIZE) + 1.0) / SIZE - 1.0] * 2, indexing="ij")
        points = (
            labels.depth[..., None] * np.stack([u, -v, np.full_like(u, -scene.focal)], axis=-1) / scene.focal
        )
        right, down = points[:-1, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, :-1]
        cross = np.cross(down, right)
        cross /= np.linalg.norm(cross, axis=-1, keepdims=True)
        flat = (labels.semseg[:-1, :-1] <= 2) & (labels.boundary[:-1, :-1] == 0)
        agreement = (cross * labels.normals[:-1, :-1]).sum(-1)[flat]
        assert flat.sum() > 100 and agreement.min() > 0.999


def test_boundaries_lie_where_classes_change(scenes) -> None:
    for _, _, labels in scenes:
        assert (labels.depth > 0).all() and (labels.depth < 20).all()
        changes = labels.semseg[:, :-1] != labels.semseg[:, 1:]
        assert (labels.boundary[:, :-1][changes] == 1).all()
        assert 0 < labels.boundary.mean() < 0.3


def test_all_classes_are_there(scenes) -> None:
    counts = np.bincount(
        np.concatenate([labels.semseg.ravel() for _, _, labels in scenes]), minlength=len(CLASSES)
    )
    assert (counts > 0).all()
    assert all(image.std() > 10 for _, image, _ in scenes)


def test_source_gives_named_arrays_and_refuses_tiny_pictures() -> None:
    element = SceneSource(5, 16, seed=1)[4]
    assert (
        element["image"].shape == (16, 16, 3) and element["id"] == 4 and element["semseg"].dtype == np.uint8
    )
    with pytest.raises(IcmError, match="at least 8 pixels"):
        SceneSource(5, 4, seed=1)[0]
