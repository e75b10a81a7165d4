import numpy as np
import pytest

from icm_jax.metrics import Normals
from icm_jax.metrics.normals import angles


def tilted(degrees: np.ndarray) -> np.ndarray:
    """Vectors that far from the z axis."""
    radians = np.radians(degrees)
    return np.stack([np.sin(radians), np.zeros_like(radians), np.cos(radians)], axis=-1)


@pytest.mark.parametrize("length", [1e-3, 1.0, 50.0])
def test_known_angles_at_any_length(length: float):
    degrees = np.array([0.0, 1e-4, 10.0, 20.0, 29.0, 90.0, 180.0])
    axis = tilted(np.zeros(7))
    np.testing.assert_allclose(angles(tilted(degrees) * length, axis), degrees, atol=2e-6)


def test_mean_rmse_and_shares():
    degrees = np.array([[[0.0, 10.0, 20.0, 60.0]]])
    score = Normals.empty().update(tilted(degrees), tilted(degrees * 0)).compute()
    assert score.mean == pytest.approx(22.5)
    assert score.true_rmse == pytest.approx(np.sqrt((100 + 400 + 3600) / 4))
    assert (score.share_11_25, score.share_22_5, score.share_30) == (50, 75, 75)


def test_a_vector_of_no_length_is_at_a_right_angle():
    assert angles(np.zeros((1, 3)), tilted(np.zeros(1))) == 90
