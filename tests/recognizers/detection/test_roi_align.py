"""ROIAlign on maps whose means are known; the golden files compare it with the definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.recognizers.detection.roi_align import CHUNK, Sampling, roi_align


@pytest.mark.parametrize("sampling", [Sampling(True, 0), Sampling(True, 2), Sampling(True, 3)])
def test_a_slope_is_read_at_the_middle_of_every_bin(sampling: Sampling):
    rows, columns = np.mgrid[:40, :60] + 0.5
    slopes = jnp.asarray(np.stack([rows, columns], -1), jnp.float32)
    rng = np.random.default_rng(0)
    low = rng.uniform(1, 15, (CHUNK + 3, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 22, low.shape)], 1).astype(np.float32)
    # The second level is the first at half the size, so a box reads the same from both.
    half = slopes.reshape(20, 2, 30, 2, 2).mean((1, 3))
    levels = rng.integers(0, 2, len(boxes))
    pooled = jax.jit(roi_align, static_argnums=(3, 4, 5))(
        [slopes, half], boxes, levels, (1.0, 0.5), 3, sampling
    )
    for axis, name in enumerate(("y", "x")):
        start, side = boxes[:, 1 - axis], boxes[:, 3 - axis] - boxes[:, 1 - axis]
        middle = start[:, None] + side[:, None] * (np.arange(3) + 0.5) / 3
        read = np.asarray(pooled[..., axis]).mean(2 - axis)
        np.testing.assert_allclose(read, middle, atol=1e-4, err_msg=name)
