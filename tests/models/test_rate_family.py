"""A family gives its members back, and members that were folded from one give the family."""

import jax
import numpy as np

from icm_jax import paths
from icm_jax.models import rate_family


def member(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "conv": {
            "kernel": rng.normal(size=(3, 3, 2, 4)).astype("f4"),
            "bias": rng.normal(size=4).astype("f4"),
        }
    }


def test_equal_members_at_first() -> None:
    family = rate_family.expand(member(0), 3)
    for rate in range(3):
        jax.tree.map(np.testing.assert_allclose, rate_family.fold(family, rate), member(0))


def test_folded_members_are_joined_again() -> None:
    family = rate_family.expand(member(0), 2)
    rng = np.random.default_rng(1)
    moved = {
        path: leaf + rng.normal(size=leaf.shape).astype("f4") for path, leaf in paths.flatten(family).items()
    }
    members = [rate_family.fold(paths.unflatten(moved), rate) for rate in range(2)]
    joined = rate_family.join(members)
    assert rate_family.is_family(joined)
    for rate, expected in enumerate(members):
        for path, leaf in paths.flatten(rate_family.fold(joined, rate)).items():
            np.testing.assert_allclose(leaf, paths.flatten(expected)[path], rtol=1e-5, err_msg=path)
