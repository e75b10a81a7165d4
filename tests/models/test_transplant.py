"""A Swin codec that starts from one of convolutions: with silent layers in both they are the same codec."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax import paths
from icm_jax.errors import IcmError
from icm_jax.models import rate_family
from icm_jax.models.registry import build, model_spec
from icm_jax.models.transplant import has_swin_stacks, transplant

SHAPE = {"name": "tic", "N": 8, "M": 8, "widths": (8, 8, 8), "depths": (1, 1, 1, 1), "hyper_depths": (1, 1)}
BOTTLENECKS = {**SHAPE, "block": "bottleneck", "latent_gain": 8.0, "init": "lecun"}
SWIN = {**SHAPE, "heads": (1, 1, 1, 1), "hyper_heads": (1, 1), "latent_gain": 8.0, "init": "lecun"}
LAST = ("/expand/", "/proj/", "/fc2/")  # what residual branches end with


def codec(values, seed):
    model = build(model_spec(values))
    x = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3))
    params = jax.jit(model.init)(jax.random.key(seed, impl="rbg"), x)["params"]
    silent = {p: a * 0 if any(name in p for name in LAST) else a for p, a in paths.flatten(params).items()}
    return model, paths.unflatten(silent), x


def test_convolutions_and_priors_are_kept() -> None:
    (model, trained, x), (swin, fresh, _) = codec(BOTTLENECKS, 0), codec(SWIN, 2)
    params = transplant(trained, fresh)
    before, after = model.apply({"params": trained}, x), swin.apply({"params": params}, x)
    assert float(jnp.ptp(before.x_hat)) > 0.1
    for name in ("y_hat", "x_hat", "y_likelihoods", "z_likelihoods"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), atol=2e-4)


def test_families_member_by_member() -> None:
    (_, trained, _), (_, fresh, _) = codec(BOTTLENECKS, 0), codec(SWIN, 2)
    family = transplant(rate_family.expand(trained, 2), rate_family.expand(fresh, 2))
    jax.tree.map(np.testing.assert_array_equal, rate_family.fold(family, 1), transplant(trained, fresh))


def test_convolutions_of_another_size_are_refused() -> None:
    (_, trained, _), (_, fresh, _) = codec(BOTTLENECKS, 0), codec({**SWIN, "M": 16, "heads": (1, 1, 1, 1)}, 2)
    assert has_swin_stacks(fresh) and not has_swin_stacks(trained)
    with pytest.raises(IcmError, match=r"take equal N, M and widths"):
        transplant(trained, fresh)
