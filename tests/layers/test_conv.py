import jax
import jax.numpy as jnp
import numpy as np
import pytest

from icm_jax.layers.conv import Conv, Deconv, conv2d, deconv2d


def random(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


def zero_inserting(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The textbook form of a transposed convolution: zeros between the samples, flipped kernel."""
    k = len(kernel)
    before = k - 1 - k // 2
    return jax.lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        (1, 1),
        ((before, before + 1), (before, before + 1)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("size", [(6, 4), (1, 1), (5, 7)])
@pytest.mark.parametrize(
    "channels", [(3, 4), (9, 2)]
)  # more out than in; few out: the two ways it is computed
def test_deconvolution_is_the_zero_inserting_form(
    taps: int, size: tuple[int, int], channels: tuple[int, int]
):
    x, kernel = random(2, *size, channels[0]), random(taps, taps, *channels)
    out = deconv2d(x, kernel)
    assert out.shape == (2, 2 * size[0], 2 * size[1], channels[1])
    np.testing.assert_allclose(out, zero_inserting(x, kernel), atol=1e-5)


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("channels", [(3, 4), (9, 2)])
def test_its_gradients_too(taps: int, channels: tuple[int, int]):
    x, kernel, weight = (
        random(1, 4, 3, channels[0]),
        random(taps, taps, *channels),
        random(1, 8, 6, channels[1]),
    )
    loss = lambda form: lambda x, kernel: (form(x, kernel) * weight).sum()  # noqa: E731
    ours = jax.grad(loss(deconv2d), argnums=(0, 1))(x, kernel)
    theirs = jax.grad(loss(zero_inserting), argnums=(0, 1))(x, kernel)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize(("taps", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
def test_convolution_pads_half_its_kernel_on_every_side(taps: int, stride: int):
    x, kernel = random(1, 6, 8, 2), random(taps, taps, 2, 3)
    padded = np.pad(x, ((0, 0), (taps // 2, taps // 2), (taps // 2, taps // 2), (0, 0)))
    out = conv2d(x, kernel, stride)
    assert out.shape == (1, -(-6 // stride), -(-8 // stride), 3)
    window = padded[0, stride : stride + taps, 2 * stride : 2 * stride + taps]
    np.testing.assert_allclose(out[0, 1, 2], np.einsum("ijc,ijcd->d", window, kernel), atol=1e-5)


@pytest.mark.parametrize("taps", [3, 5])
def test_few_outputs_are_computed_row_by_row(taps: int):
    """Values and gradients of the plain convolution, on a map smaller than the kernel too."""

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        pad = ((taps // 2, taps // 2),) * 2
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), pad, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    for size in ((6, 8), (2, 1)):
        x, kernel, weight = random(2, *size, 9), random(taps, taps, 9, 2), random(2, *size, 2)
        np.testing.assert_allclose(conv2d(x, kernel), plain(x, kernel), atol=1e-5)
        loss = lambda form: lambda x, kernel: (form(x, kernel) * weight).sum()  # noqa: B023, E731
        ours, theirs = (jax.grad(loss(form), argnums=(0, 1))(x, kernel) for form in (conv2d, plain))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize(("layer", "fan_in"), [(Conv(64, 3), 16 * 9), (Deconv(64, 3), 64 * 9)])
def test_published_start(layer: Conv | Deconv, fan_in: int):
    params = layer.init(jax.random.key(0), jnp.zeros((1, 4, 4, 16)))["params"]
    for leaf in params.values():
        assert float(jnp.abs(leaf).max()) <= fan_in**-0.5
    assert float(params["kernel"].std()) == pytest.approx((fan_in * 3) ** -0.5, rel=0.05)


@pytest.mark.parity
@pytest.mark.parametrize("taps", [3, 5])
def test_pytorch_layers(taps: int):
    torch = pytest.importorskip("torch")
    x = random(2, 6, 5, 3)
    torch_x = torch.from_numpy(np.array(x.transpose(0, 3, 1, 2)))
    down = torch.nn.Conv2d(3, 4, taps, stride=2, padding=taps // 2)
    up = torch.nn.ConvTranspose2d(3, 4, taps, stride=2, padding=taps // 2, output_padding=1)
    with torch.no_grad():
        for layer, ours, axes in (
            (down, Conv(4, taps, 2), (2, 3, 1, 0)),
            (up, Deconv(4, taps), (2, 3, 0, 1)),
        ):
            params = {"kernel": layer.weight.numpy().transpose(axes), "bias": layer.bias.numpy()}
            expected = layer(torch_x).numpy().transpose(0, 2, 3, 1)
            np.testing.assert_allclose(ours.apply({"params": params}, x), expected, atol=1e-5)
