"""Number formats and recomputation by rule, on the codec itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.models.registry import build, model_spec
from icm_jax.train.compute import cast, rematerialised

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

    @jax.jit
    def forward(rules_on):
        rules = [("g_[as]/.*kernel", "bfloat16")]
        low = model.apply({"params": cast(params, rules)}, x)
        full = model.apply({"params": params}, x)
        return jax.tree.map(lambda a, b: jnp.where(rules_on, a, b), low, full)

    low, full = forward(True), forward(False)
    assert {leaf.dtype for leaf in jax.tree.leaves(low)} == {jnp.dtype("float32")}
    difference = float(
        jnp.abs(low.x_hat - full.x_hat).mean()
    )  # single pixels differ more, where y rounds elsewhere
    assert 0 < difference < 0.25 * float(jnp.abs(full.x_hat).mean())
    program = str(
        jax.make_jaxpr(lambda: model.apply({"params": cast(params, [("g_s/.*kernel", "bfloat16")])}, x))()
    )
    assert "bf16" in program


def test_recomputed_layers_give_the_same_gradients_in_less_memory(codec) -> None:
    model, params, x = codec

    def gradients(patterns):
        def loss(params):
            noise, drop = jax.random.split(jax.random.key(2, impl="rbg"))
            with rematerialised(patterns):
                out = model.apply({"params": params}, x, train=True, rngs={"noise": noise, "drop_path": drop})
            return jnp.mean((out.x_hat - x) ** 2) - jnp.log(out.y_likelihoods).mean()

        compiled = jax.jit(jax.grad(loss)).lower(params).compile()
        return compiled(params), str(jax.make_jaxpr(jax.grad(loss))(params))

    (plain, text), (again, recomputed) = gradients(()), gradients(("g_[as]/stb[16]/layer.*",))
    assert recomputed.count("remat") > text.count("remat") == 0
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
