"""Every kind of product and loop against a count by hand."""

import jax
import jax.numpy as jnp
import pytest

from icm_jax.errors import IcmError
from icm_jax.evaluate.macs import count_macs
from icm_jax.layers.conv import conv2d, deconv2d

NHWC = ("NHWC", "HWIO", "NHWC")


def array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_matrix_product():
    assert count_macs(jnp.matmul, array(3, 5), array(5, 7)) == 3 * 5 * 7


def test_batched_einsum():
    product = count_macs(
        lambda q, k: jnp.einsum("bnqhd,bnkhd->bnhqk", q, k), array(2, 3, 4, 5, 6), array(2, 3, 7, 5, 6)
    )
    assert product == 2 * 3 * 5 * 4 * 7 * 6


def test_strided_convolution_counts_its_padding():
    assert (
        count_macs(lambda x, k: conv2d(x, k, 2), array(2, 8, 10, 3), array(5, 5, 3, 7))
        == 2 * 4 * 5 * 25 * 3 * 7
    )


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_grouped_convolution(groups: int):
    def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=NHWC, feature_group_count=groups
        )

    macs = count_macs(convolve, array(1, 4, 4, 6), array(3, 3, 6 // groups, 12))
    assert macs == 16 * 9 * (6 // groups) * 12


def test_dilated_kernel_has_no_more_taps():
    def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", rhs_dilation=(2, 2), dimension_numbers=NHWC
        )

    assert count_macs(convolve, array(1, 9, 9, 2), array(3, 3, 2, 4)) == 5 * 5 * 9 * 2 * 4


@pytest.mark.parametrize(("taps", "padding"), [(3, (1, 2)), (5, (2, 3))])
def test_transposed_convolution_leaves_out_inserted_zeros(taps: int, padding: tuple[int, int]):
    def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), (padding, padding), lhs_dilation=(2, 2), dimension_numbers=NHWC
        )

    macs = count_macs(convolve, array(1, 6, 4, 8), array(taps, taps, 8, 2))
    assert macs == 6 * 4 * taps**2 * 8 * 2


@pytest.mark.parametrize("c_in", [8, 9], ids=["shifted pixels", "shifted products"])
def test_deconvolution_multiplies_no_zeros(c_in: int):
    assert count_macs(deconv2d, array(1, 6, 4, c_in), array(5, 5, c_in, 2)) == 6 * 4 * 25 * c_in * 2


def test_one_dimensional_convolution():
    macs = count_macs(
        lambda x, k: jax.lax.conv_general_dilated(
            x, k, (2,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
        ),
        array(1, 9, 2),
        array(3, 2, 4),
    )
    assert macs == 4 * 3 * 2 * 4


def test_scan_multiplies_by_its_length():
    def turn(carry: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return carry @ carry + x, carry

    assert count_macs(lambda c, xs: jax.lax.scan(turn, c, xs), array(4, 4), array(7, 4, 4)) == 7 * 4**3


def test_nested_programs_are_counted():
    @jax.custom_vjp
    def square(x: jax.Array) -> jax.Array:
        return x @ x

    square.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x,))
    nested = jax.jit(jax.checkpoint(lambda x: square(jax.jit(jnp.matmul)(x, x))))
    assert count_macs(nested, array(5, 5)) == 2 * 5**3


def test_gradient_of_remat_runs_the_forward_pass_again():
    def loss(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.sin(jnp.sin(x @ w) @ w).sum()

    plain = count_macs(jax.grad(loss, argnums=1), array(4, 4), array(4, 4))
    again = count_macs(jax.grad(jax.checkpoint(loss), argnums=1), array(4, 4), array(4, 4))
    assert plain == (2 + 3) * 4**3  # forward 2; backward: d(second) for both inputs, d(first) for w
    assert again == plain + 2 * 4**3


def test_costliest_branch_counts():
    def choose(p: jax.Array, x: jax.Array) -> jax.Array:
        return jax.lax.cond(p, lambda x: x @ x, lambda x: x @ x @ x, x)

    assert count_macs(choose, jax.ShapeDtypeStruct((), jnp.bool_), array(3, 3)) == 2 * 27


def test_loop_of_unknown_length_is_refused():
    def loop(x: jax.Array) -> jax.Array:
        return jax.lax.while_loop(lambda x: x.sum() < 1, lambda x: x @ x, x)

    with pytest.raises(IcmError, match="while loop"):
        count_macs(loop, array(3, 3))
