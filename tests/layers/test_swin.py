import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.layers.swin import DropPath, SwinStack


def test_stack_is_one_skip_around_its_layers():
    """With projections at zero every layer is the identity, so the stack doubles its input."""
    stack = SwinStack(8, 2, window=4, shift=2, mlp_ratio=2, drop_paths=(0.0, 0.0))
    x = jnp.array(np.random.default_rng(0).normal(size=(1, 8, 8, 8)), jnp.float32)
    params = jax.tree.map(jnp.zeros_like, jax.jit(stack.init)(jax.random.key(0), x))
    np.testing.assert_allclose(jax.jit(stack.apply)(params, x), 2 * x, rtol=1e-6)


@pytest.mark.parametrize(("layer", "reach"), [(0, 4), (1, 6)])
def test_every_second_layer_is_shifted(layer: int, reach: int):
    """One layer sees its window of 4; two layers, the second shifted by 2, see across the border."""
    stack = SwinStack(4, 1, window=4, shift=2, mlp_ratio=1, drop_paths=(0.0,) * (layer + 1))
    x = jnp.array(np.random.default_rng(1).normal(size=(1, 4, 12, 4)), jnp.float32)
    params = jax.jit(stack.init)(jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda x: stack.apply(params, x)[0, 1, 1].sum()))(x)
    # Column 1 lies in the unshifted window of columns 0..3; shifted windows hold 2..5 and 10, 11, 0, 1 apart.
    seen = np.flatnonzero(np.abs(np.asarray(gradient)).sum((0, 1, 3)) > 1e-12)
    assert seen.max() < reach
    assert set(range(4)) <= set(seen.tolist())


def test_drop_path_drops_whole_images_and_keeps_the_mean():
    x = jnp.ones((4000, 2, 2, 1))
    out = DropPath(0.25).apply({}, x, True, rngs={"drop_path": jax.random.key(0)})
    images = out.reshape(len(out), -1)
    assert (images == images[:, :1]).all()
    np.testing.assert_allclose(np.unique(images), [0.0, 1 / 0.75], rtol=1e-6)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.03)


def test_drop_path_is_off_outside_training():
    x = jnp.ones((3, 2, 2, 1))
    assert (DropPath(0.9).apply({}, x, False) == x).all()
    assert (DropPath(0.0).apply({}, x, True) == x).all()
