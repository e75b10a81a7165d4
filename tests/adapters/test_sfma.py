"""SFMA alone and on a codec."""

import re

import jax
import jax.numpy as jnp
import numpy as np

from icm_jax.adapters.registry import adapted, initial_variables
from icm_jax.adapters.sfma import Sfma, SfmaSpec, amplitude
from icm_jax.evaluate.complexity import parameter_count
from icm_jax.models.registry import build
from icm_jax.models.tic import TICSpec
from tests.tiny import BOTTLENECK, tiny_codec


def test_size_is_the_published_one():
    base = TICSpec()
    size = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    tree = jax.eval_shape(build(base, SfmaSpec()).init, jax.random.key(0), size)["params"]["adapter"]
    assert parameter_count(tree) == 287_232
    assert set(tree["g_a"]) == {"stb1", "stb3", "stb5"} and set(tree["g_s"]) == {
        "deconv1",
        "deconv3",
        "deconv5",
    }


def test_a_black_map_has_finite_gradients():
    """Its spectrum is 0 wherever the bias of f_down does not lift it, and |0| has no gradient of its own."""
    module = Sfma(4)
    x = jnp.zeros((1, 6, 7, 3))
    params = jax.tree.map(jnp.zeros_like, module.init(jax.random.key(0), x))
    grads = jax.grad(lambda p, x: module.apply(p, x).sum(), argnums=(0, 1))(params, x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    assert jax.grad(lambda v: amplitude(v + 0j).sum())(jnp.zeros(3)).tolist() == [0, 0, 0]


def test_the_frequency_branch_reaches_the_whole_map_on_odd_sizes():
    """One pixel's change is everywhere in the spectrum; without the original width the inverse would be one short."""
    module = Sfma(4)
    x = jax.random.normal(jax.random.key(0), (1, 5, 9, 3))
    params = module.init(jax.random.key(1), x)
    changed = module.apply(params, x.at[0, 0, 0].add(3.0)) - module.apply(params, x)
    assert changed.shape == x.shape
    assert np.abs(changed[0, 3:, 6:]).max() > 1e-6


def test_means_of_a_change_are_those_of_its_features():
    module = Sfma(4)
    x = jax.random.normal(jax.random.key(0), (2, 5, 9, 3))
    params = module.init(jax.random.key(1), x)
    change = module.apply(params, x, method="change")
    assert np.allclose(change.mean(), change.features().mean((1, 2), keepdims=True), atol=1e-6)
    assert np.allclose(module.apply(params, x), x + change.features(), atol=1e-6)


def test_float16_maps_keep_a_float32_spectrum():
    """A mean of 20 over 128×128 has a DC of 3e5, beyond float16."""
    module = Sfma(4)
    x = 20 * jnp.ones((1, 128, 128, 3))
    params = module.init(jax.random.key(1), x)
    half = module.apply(jax.tree.map(lambda leaf: leaf.astype(jnp.float16), params), x.astype(jnp.float16))
    assert np.isfinite(half).all()


def test_bfloat16_maps_go_through_float32_transforms():
    module = Sfma(4)
    x = jnp.ones((1, 6, 5, 3), jnp.bfloat16)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), module.init(jax.random.key(1), x))
    program = jax.make_jaxpr(module.apply)(params, x)
    assert sorted(re.findall(r":(\w+)\[[\d,]*\] = fft\[", str(program))) == ["c64", "f32"]
    assert program.out_avals[0].dtype == jnp.bfloat16


def test_zero_init_is_the_base_codec():
    base_params = tiny_codec().stored.params
    spec = SfmaSpec(middle=4, zero_init=True)
    x = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3))
    plain = build(BOTTLENECK).apply({"params": base_params}, x)
    variables = initial_variables(spec, BOTTLENECK, jax.random.key(2))
    found = build(BOTTLENECK, spec).apply(adapted(base_params, variables), x)
    assert np.allclose(found.x_hat, plain.x_hat, atol=1e-6)
