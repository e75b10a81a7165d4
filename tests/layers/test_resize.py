from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.layers.bicubic import bicubic
from icm_jax.layers.resize import aligned_size, bilinear, bilinear_corners, pad_edges


def test_pixel_centres_stay_aligned():
    """Doubling [0, 4]: new centres lie a quarter in from each old one, the outer two repeat the edge."""
    x = jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1)
    assert bilinear(x, (1, 4)).ravel().tolist() == [0.0, 1.0, 3.0, 4.0]


def test_shrinking_does_not_filter():
    x = jnp.array([0.0, 1.0, 0.0, 9.0, 0.0, 5.0]).reshape(1, 6, 1, 1)
    assert bilinear(x, (2, 1)).ravel().tolist() == pytest.approx(
        [1.0, 0.0]
    )  # samples 1 and 4, nothing around them


def test_ramps_stay_ramps():
    ramp = jnp.arange(20.0)[None, :, None, None] * jnp.ones((2, 1, 30, 3))
    out = bilinear(ramp, (33, 17))
    assert out.shape == (2, 33, 17, 3)
    steps = np.diff(np.asarray(out[0, 2:-2, 5, 1]))
    np.testing.assert_allclose(steps, 20 / 33, rtol=1e-4)


RAMP_KEEPING = (bilinear, bilinear_corners, partial(bicubic, antialias=True))


def test_float64_has_exact_positions_and_float32_those_of_pytorch():
    ramp = np.arange(7.0)[None, :, None, None]
    centres, corners = (np.arange(24) + 0.5) * 7 / 24 - 0.5, np.arange(24) * 6 / 23
    with jax.enable_x64(True):
        found = [resize(jnp.asarray(ramp), (24, 1)) for resize in RAMP_KEEPING]
    inside = slice(7, -7)  # where neither border nor clamp counts
    for ours, exact in zip(found, (centres, corners, centres), strict=True):
        assert np.abs(np.asarray(ours).ravel() - exact)[inside].max() < 1e-14
    single = bilinear(jnp.asarray(ramp, jnp.float32), (24, 1))
    assert 0 < np.abs(np.asarray(single).ravel() - centres)[inside].max() < 1e-5


def test_same_size_is_untouched():
    x = jnp.array(np.random.default_rng(0).normal(size=(1, 5, 6, 3)))
    assert bilinear(x, (5, 6)) is x


def test_single_pixel_fills_everything():
    assert (bilinear(jnp.full((1, 1, 1, 3), 0.25), (4, 6)) == 0.25).all()


def test_gradient_reaches_every_sample_it_used():
    gradient = jax.grad(lambda x: bilinear(x, (10, 10)).sum())(jnp.zeros((1, 5, 5, 1)))
    np.testing.assert_allclose(gradient.sum(), 100.0, rtol=1e-5)
    assert (gradient > 0).all()


@pytest.mark.parametrize(
    ("size", "aligned"), [((200, 300), (256, 512)), ((256, 512), (256, 512)), ((1, 257), (256, 512))]
)
def test_aligned_size(size: tuple[int, int], aligned: tuple[int, int]):
    assert aligned_size(*size, 256) == aligned


def test_padding_repeats_the_edge_at_the_bottom_and_right():
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    padded = pad_edges(x, 4)[0, :, :, 0]
    assert padded.tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
    assert pad_edges(x[:, :, :2], 2).shape == (1, 2, 2, 1)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("size", "target"),
    [((200, 300), (256, 512)), ((256, 512), (200, 300)), ((37, 1000), (64, 17)), ((800, 1333), (1024, 1536))],
)
def test_pytorch_interpolate(size: tuple[int, int], target: tuple[int, int]):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).random((1, *size, 3), np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(x).permute(0, 3, 1, 2), target, mode="bilinear", align_corners=False, antialias=False
    )
    np.testing.assert_allclose(
        bilinear(jnp.array(x), target), expected.permute(0, 2, 3, 1).numpy(), atol=1e-6
    )
