"""Depthwise convolutions against XLA's grouped ones; the order of a pixel shuffle; widths of EVC's blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.layers.depth_conv import ConvFFN, DepthConvBlock
from icm_jax.layers.depthwise import depthwise
from icm_jax.layers.pixel_shuffle import pixel_shuffle


@pytest.mark.parametrize(
    ("kernel_size", "stride", "size"),
    [(3, 1, (5, 6)), (3, 2, (5, 6)), (5, 2, (4, 7)), (2, 2, (4, 6)), (4, 4, (6, 9))],
)
def test_depthwise_is_a_grouped_convolution(kernel_size: int, stride: int, size: tuple[int, int]) -> None:
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    kernel = jax.random.normal(jax.random.key(1), (kernel_size, kernel_size, 1, 3))
    pad = kernel_size // 2 if kernel_size % 2 else 0
    padding = [(pad, pad if pad else -side % kernel_size) for side in size]
    expected = jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(depthwise(x, kernel, stride), expected, atol=1e-5)


def test_pixel_shuffle_takes_channels_in_pytorchs_order() -> None:
    x = jnp.arange(2 * 8).reshape(1, 1, 2, 8)
    out = pixel_shuffle(x)
    assert out.shape == (1, 2, 4, 2)
    assert out[0, :, :2, 1].tolist() == [[4, 5], [6, 7]]
    assert out[0, 1, 3, 0] == 8 + 3


@pytest.mark.parametrize(("channels", "hidden"), [(16, 64), (300, 1024), (600, 1200)])
def test_hidden_width_of_the_ffn(channels: int, hidden: int) -> None:
    shapes = jax.eval_shape(ConvFFN().init, jax.random.key(0), jnp.zeros((1, 1, 1, channels)))
    assert shapes["params"]["expand"]["kernel"].shape[-1] == hidden


def test_a_block_has_an_adaptor_only_where_channels_change() -> None:
    def parts(features: int) -> set[str]:
        model = DepthConvBlock(features, upsample=True)
        shapes, params = jax.eval_shape(
            lambda: model.init_with_output(jax.random.key(0), jnp.zeros((1, 2, 3, 4)))
        )
        assert shapes.shape == (1, 4, 6, features)
        return set(params["params"]["depth"])

    assert parts(6) - parts(4) == {"adaptor"}
