"""Number formats and recomputation by rule, on the codec itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.adapters.sfma import Sfma
from icm_jax.models.registry import build, model_spec
from icm_jax.train.compute import cast, compilation, compiler_options, rematerialised

SMALL = {
    "name": "tic",
    "N": 16,
    "M": 16,
    "depths": (2, 1, 1, 1),
    "hyper_depths": (1, 1),
    "heads": (2, 2, 2, 2),
    "hyper_heads": (2, 2),
}


@pytest.fixture(scope="module")
def codec():
    model = build(model_spec(SMALL))
    x = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3))
    return model, jax.jit(model.init)(jax.random.key(0, impl="rbg"), x)["params"], x


def test_bfloat16_kernels_leave_likelihoods_and_pixels_in_float32(codec) -> None:
    model, params, x = codec
    low = cast(params, [("g_[as]/.*kernel", "bfloat16")])
    out = jax.jit(lambda p: model.apply({"params": p}, x))(low)
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype("float32")}
    # Transform by transform: behind a rounding, one latent that falls to the other side would hide everything.
    y_hat = jax.random.normal(jax.random.key(3), (1, 4, 4, 16))
    for method, argument in (("analyse", x), ("synthesise", y_hat)):
        run = jax.jit(lambda p, a, method=method: model.apply({"params": p}, a, method=method))
        exact, rounded = run(params, argument), run(low, argument).astype(jnp.float32)
        error = float(jnp.linalg.norm(rounded - exact) / jnp.linalg.norm(exact))
        assert 1e-4 < error < 2e-2, method  # bfloat16 keeps 8 bits: not float32, and not broken


def test_recomputed_layers_give_the_same_gradients_in_less_memory(codec) -> None:
    model, params, x = codec

    def gradients(patterns):
        def loss(params):
            noise, drop = jax.random.split(jax.random.key(2, impl="rbg"))
            with rematerialised(patterns):
                out = model.apply({"params": params}, x, train=True, rngs={"noise": noise, "drop_path": drop})
            return jnp.mean((out.x_hat - x) ** 2) - jnp.log(out.y_likelihoods).mean()

        compiled = jax.jit(jax.grad(loss)).lower(params).compile(compiler_options(patterns))
        memory = compiled.memory_analysis().temp_size_in_bytes
        return compiled(params), str(jax.make_jaxpr(jax.grad(loss))(params)), memory

    (plain, text, kept), (again, recomputed, left) = gradients(()), gradients(("g_[as]/stb[16]/layer.*",))
    assert recomputed.count("remat") > text.count("remat") == 0
    assert left < 0.9 * kept, (left, kept)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_methods_of_a_module_are_recomputed_under_its_name() -> None:
    """All-in-One calls its adaptors for the change they make, not for its sum with their input."""
    adaptor = Sfma(4)
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    params = adaptor.init(jax.random.key(1), x)

    def gradients(patterns):
        def loss(params):
            with rematerialised(patterns):
                return (adaptor.apply(params, x, method="change").features() ** 2).sum()

        return jax.grad(loss)(params), str(jax.make_jaxpr(jax.grad(loss))(params))

    (plain, text), (again, recomputed) = gradients(()), gradients(("",))
    assert recomputed.count("remat") > text.count("remat") == 0
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quick", [True, False])
def test_quick_compilation_ends_with_the_run(quick: bool) -> None:
    name = "jax_disable_most_optimizations"
    outside = jax.config.read(name)
    jax.config.update(name, False)
    try:
        with pytest.raises(KeyError), compilation(quick):
            assert jax.config.read(name) is quick
            raise KeyError
        assert jax.config.read(name) is False
    finally:
        jax.config.update(name, outside)
