"""The original TIC: its size, its reference, and what each of its forward passes rates and decodes."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.errors import IcmError
from icm_jax.models.registry import build, model_name, model_spec, spec_values
from icm_jax.models.tic_original import TICOriginal, TICOriginalSpec
from weights_convert.golden import check_file
from weights_convert.golden_file import to_nchw, to_nhwc
from weights_convert.tic_original import expected_params, tic_original_from_state_dict

GOLDEN = Path(__file__).parents[1] / "golden" / "tic" / "tic_original_small_N32M48_128x128.npz"
TINY = TICOriginalSpec(
    N=8, M=8, depths=(1, 1, 1), hyper_depths=(1, 2), heads=(2, 2, 2), hyper_heads=(2, 2), context_heads=2
)


def test_every_array_of_the_reference() -> None:
    failures = [
        f"{row.array}: {row.max_abs} > {row.tolerance} {row.note}"
        for row in check_file(GOLDEN)
        if not row.passed
    ]
    assert failures == []


def test_published_parameter_counts() -> None:
    params = expected_params(TICOriginalSpec())
    counts = {part: sum(leaf.size for leaf in jax.tree.leaves(tree)) for part, tree in params.items()}
    millions = {part: round(count / 1e6, 3) for part, count in counts.items()}
    assert millions == {
        "g_a": 2.936, "g_s": 2.936, "h_a": 1.313, "h_s": 1.534,
        "context": 0.483, "entropy_parameters": 1.017, "z_prior": 0.008,
    }  # fmt: skip
    assert sum(counts.values()) == 10_227_299


@pytest.fixture(scope="module")
def reference() -> tuple[dict[str, np.ndarray], TICOriginal, dict]:
    with np.load(GOLDEN) as archive:
        arrays = dict(archive)
    spec, params = tic_original_from_state_dict(
        {name.removeprefix("sd/"): array for name, array in arrays.items() if name.startswith("sd/")}
    )
    return arrays, TICOriginal(spec), params


def test_reference_forward_is_the_published_evaluation(reference: tuple) -> None:
    arrays, model, params = reference
    x = to_nhwc(arrays["x_u8"]) / np.float32(255)
    run = jax.jit(lambda params, x: model.apply({"params": params}, x, reference=True))
    found = run(params, x)
    assert np.array_equal(to_nchw(found.y_hat), arrays["y_hat"])
    bits = [-np.log2(np.asarray(p, np.float64)).sum() for p in (found.y_likelihoods, found.z_likelihoods)]
    np.testing.assert_allclose(bits, [arrays["bits_y"], arrays["bits_z"]], rtol=1e-5)
    np.testing.assert_allclose(to_nchw(found.x_hat)[:, :, ::3, ::3], arrays["x_hat@stride3"], atol=1.2e-4)


@pytest.fixture(scope="module")
def tiny() -> tuple[TICOriginal, dict]:
    model = TICOriginal(TINY)
    return model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]


def test_only_the_rated_latent_differs_from_the_reference(tiny: tuple) -> None:
    model, params = tiny
    params = jax.tree.map(lambda leaf: leaf, params)
    params["entropy_parameters"]["dense4"]["bias"] = jnp.full(16, 0.4)
    x = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3))
    run = jax.jit(
        lambda x, reference: model.apply({"params": params}, x, reference=reference), static_argnums=1
    )
    consistent, published = run(x, False), run(x, True)
    np.testing.assert_array_equal(consistent.x_hat, published.x_hat)
    np.testing.assert_array_equal(consistent.y_hat, published.y_hat)
    np.testing.assert_array_equal(consistent.y_hat, np.round(consistent.y_hat))
    assert not np.allclose(consistent.y_likelihoods, published.y_likelihoods)


def test_training_reaches_every_parameter(tiny: tuple) -> None:
    model, params = tiny
    x = jax.random.uniform(jax.random.key(1), (2, 64, 64, 3))

    def loss(params: dict) -> jax.Array:
        rngs = {"noise": jax.random.key(2), "drop_path": jax.random.key(3)}
        latents = model.apply({"params": params}, x, train=True, rngs=rngs)
        bits = -jnp.log2(latents.y_likelihoods).sum() - jnp.log2(latents.z_likelihoods).sum()
        aux = model.apply({"params": params}, method="auxiliary_loss")
        return bits / x[..., 0].size + 100 * jnp.mean((latents.x_hat - x) ** 2) + aux

    gradients = jax.jit(jax.grad(loss))(params)
    norms = {
        jax.tree_util.keystr(path): float(jnp.abs(leaf).sum())
        for path, leaf in jax.tree.leaves_with_path(gradients)
    }
    assert all(np.isfinite(norm) for norm in norms.values())
    # A first stack of each side may be dropped in this one draw; everything else has to move.
    assert [path for path, norm in norms.items() if norm == 0 and "layer" not in path] == []


def test_whole_maps_and_single_positions_have_the_same_gaussians(tiny: tuple) -> None:
    model, params = tiny
    variables = {"params": params}
    y_hat = jnp.round(3 * jax.random.normal(jax.random.key(1), (1, 3, 4, 8)))
    hyper = jax.random.normal(jax.random.key(2), (1, 3, 4, 16))
    scales, means = jax.jit(partial(model.apply, method="gaussians"))(variables, hyper, y_hat)
    above_left = jnp.pad(y_hat, ((0, 0), (2, 0), (2, 2), (0, 0)))[0]
    neighbours = jnp.concatenate([above_left[1:3, 2:7].reshape(10, 8), above_left[3, 2:4]])
    single = jax.jit(partial(model.apply, method="gaussian_at"))(variables, hyper[0, 1, 2], neighbours)
    np.testing.assert_allclose(single, [scales[0, 1, 2], means[0, 1, 2]], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depths": (2, 4, 6, 2)}, "depths=.* has 4 entries"),
        ({"heads": (3, 8, 16)}, "128 channels can not be split over 3"),
        ({"M": 200}, "200 channels can not be split over 16"),
        ({"context_window": 4}, "context_window=4 has no centre"),
    ],
)
def test_impossible_specifications(change: dict, message: str) -> None:
    with pytest.raises(IcmError, match=message):
        TICOriginalSpec(**change)


def test_registry_knows_it_by_name() -> None:
    assert model_name(TINY) == "tic-original"
    assert model_spec(spec_values(TINY)) == TINY
    assert isinstance(build(TINY), TICOriginal)
