"""Norms folded into convolutions: the published file with norms and one without are the same network."""

import numpy as np
import pytest

from weights_convert.keymap import ConversionError
from weights_convert.u2net import EPSILON, fold_norms


def unit(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = {
        "conv_s1.weight": rng.normal(size=(5, 3, 1, 1)),
        "conv_s1.bias": rng.normal(size=5),
        "bn_s1.weight": rng.normal(size=5),
        "bn_s1.bias": rng.normal(size=5),
        "bn_s1.running_mean": rng.normal(size=5),
        "bn_s1.running_var": rng.uniform(0.5, 2, size=5),
        "bn_s1.num_batches_tracked": np.array(7),
    }
    return {f"stage1.rebnconvin.{name}": array for name, array in arrays.items()}


def test_folded_convolution_is_convolution_and_norm():
    arrays = {name.removeprefix("stage1.rebnconvin."): array for name, array in unit(0).items()}
    x = np.random.default_rng(1).normal(size=3)
    y = arrays["conv_s1.weight"][:, :, 0, 0] @ x + arrays["conv_s1.bias"]
    y = (y - arrays["bn_s1.running_mean"]) / np.sqrt(arrays["bn_s1.running_var"] + EPSILON)
    y = y * arrays["bn_s1.weight"] + arrays["bn_s1.bias"]
    folded = fold_norms(unit(0))
    assert set(folded) == {"stage1.rebnconvin.conv_s1.weight", "stage1.rebnconvin.conv_s1.bias"}
    kernel, bias = folded.values()
    np.testing.assert_allclose(kernel[:, :, 0, 0] @ x + bias, y, rtol=1e-12)


def test_half_a_norm_is_refused():
    arrays = unit(0)
    del arrays["stage1.rebnconvin.bn_s1.running_var"]
    with pytest.raises(ConversionError, match=r"bn_s1\.running_var is missing"):
        fold_norms(arrays)
