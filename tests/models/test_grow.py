"""A widened or deepened codec computes what the small one did."""

from typing import Any

import jax
import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.models import rate_family
from icm_jax.models.grow import grow
from icm_jax.models.registry import build, model_spec

NARROW = {
    "name": "tic",
    "N": 16,
    "M": 16,
    "widths": (8, 8, 8),
    "depths": (1, 1, 1, 1),
    "hyper_depths": (1, 1),
    "block": "bottleneck",
    "latent_gain": 8.0,
    "init": "lecun",
}


def codec(**changes):
    model = build(model_spec({**NARROW, **changes}))
    x = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3))
    return model, jax.jit(model.init)(jax.random.key(len(changes), impl="rbg"), x)["params"], x


@pytest.mark.parametrize(
    "changes", [{"widths": (12, 8, 16)}, {"M": 24}, {"depths": (1, 2, 1, 3), "hyper_depths": (2, 1)}], ids=str
)
def test_old_channels_compute_what_they_did(changes: dict[str, Any]) -> None:
    model, params, x = codec()
    wide_model, fresh, _ = codec(**changes)
    wide = grow(params, fresh)
    before, after = (
        jax.jit(model.apply)({"params": params}, x),
        jax.jit(wide_model.apply)({"params": wide}, x),
    )
    np.testing.assert_allclose(after.x_hat, before.x_hat, atol=1e-4)
    for name in ("y_hat", "y_likelihoods"):
        np.testing.assert_allclose(getattr(after, name)[..., :16], getattr(before, name), atol=1e-4)


def test_families_grow_member_by_member() -> None:
    (_, params, _), (_, fresh, _) = codec(), codec(widths=(8, 8, 16))
    wide = grow(rate_family.expand(params, 2), rate_family.expand(fresh, 2))
    one, other = rate_family.fold(wide, 1), grow(params, fresh)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_model_can_only_grow() -> None:
    (_, params, _), (_, fresh, _) = codec(widths=(8, 8, 16)), codec()
    with pytest.raises(IcmError, match="a model can only grow"):
        grow(params, fresh)
    _, deep, _ = codec(depths=(1, 1, 2, 1))
    with pytest.raises(IcmError, match="only widths and the depths of stacks of bottlenecks can grow"):
        grow(deep, fresh)
