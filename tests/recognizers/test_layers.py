"""Convolutions with groups, strides and dilations against XLA's own, which is slow but plain."""

import jax
import numpy as np
import pytest

from icm_jax.recognizers.layers import NARROW, Conv


@pytest.mark.parametrize("members", [1, 3, NARROW + 1])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 4), (2, 3)])
def test_grouped_convolution(members: int, stride: int, dilation: int):
    groups, features = 4, 8
    x = np.random.default_rng(0).normal(size=(2, 9, 12, groups * members)).astype(np.float32)
    conv = Conv(features, 3, stride, dilation, groups)
    params = conv.init(jax.random.key(0), x)
    reference = jax.lax.conv_general_dilated(
        x,
        params["params"]["kernel"],
        (stride, stride),
        ((dilation, dilation), (dilation, dilation)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    np.testing.assert_allclose(conv.apply(params, x), reference, atol=1e-5)
