"""The low-complexity decoder: scales that talk, tasks that talk, grids of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.models.dora_icm.cross_scale import Scores, enlarge
from icm_jax.models.dora_icm.decoder import Decoder

ONE = Decoder((2,), widths=(16, 8), blocks=1)
TWO = Decoder((2, 1), widths=(16, 8), blocks=1)


@pytest.fixture(scope="module")
def features() -> list[jax.Array]:
    return [jax.random.normal(jax.random.key(t), (1, 4, 6, 5 + t)) for t in range(2)]


def test_previous_scores_are_enlarged_for_each_query_grid() -> None:
    values = jnp.broadcast_to(jnp.arange(7.0), (1, 2, 3 * 6, 7))  # constant over queries
    enlarged = enlarge(Scores(values, (2, 3)), (4, 6), tasks=3)
    assert enlarged.shape == (1, 2, 3 * 24, 7)
    np.testing.assert_allclose(enlarged[0, 1, 5], np.arange(7.0), atol=1e-5)


def test_the_weight_of_the_scale_before_matters(features: list[jax.Array]) -> None:
    variables = jax.jit(lambda f: ONE.init(jax.random.key(0), f, (32, 48)))(features[:1])
    spread = jax.tree.map(lambda leaf: 3 * leaf, variables["params"])
    run = jax.jit(lambda params, f: ONE.apply(variables | {"params": params}, f, (64, 96))[0])
    with_scores = run(spread, features[:1])
    assert with_scores.shape == (1, 64, 96, 2)
    without = run(spread | {"alpha": jnp.zeros(1)}, features[:1])
    assert not np.allclose(with_scores, without)


def test_tasks_attend_to_one_another(features: list[jax.Array]) -> None:
    variables = jax.jit(lambda f: TWO.init(jax.random.key(0), f, (32, 48)))(features)
    run = jax.jit(lambda f: TWO.apply(variables, f, (32, 48)))
    first, second = run(features)
    assert (first.shape, second.shape) == ((1, 32, 48, 2), (1, 32, 48, 1))
    changed, _ = run([features[0], features[1] + 1])
    assert not np.allclose(first, changed, atol=1e-6)
    with pytest.raises(IcmError, match="1 maps of features for a decoder of 2 tasks"):
        TWO.apply(variables, features[:1], (32, 48))


def test_a_grid_that_no_stride_divides() -> None:
    x = [jnp.ones((1, 3, 5, 4))]
    shapes = jax.eval_shape(lambda x: ONE.init_with_output(jax.random.key(0), x, (45, 75))[0], x)
    assert shapes[0].shape == (1, 45, 75, 2)
