"""EVC's entropy model: a hyperprior, and latents coded in two passes of a checkerboard (Wang et al., ICLR 2023).

    y ─► h_a ─► z ─► round ─► z_hat ─► h_s ─► fusion ─► q, scales, means            of all elements
    first pass:   y/q where `first_pass`, by these scales and means                   ─► y_hat of one half
    second pass:  spatial(that half, means, scales, q) ─► scales, means of the others ─► y_hat of all, times q

The first pass takes the first half of the channels on the even squares of the board and the second half on the odd
ones, so each pass sees every position. q is a quantisation step of each element, at least 1/2; means and scales
are in units of q.
"""

from dataclasses import field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jax.scipy.special import erfc
from jaxtyping import Bool, Float

from icm_jax.entropy import bit_estimator, gaussian, quantize
from icm_jax.entropy.bit_estimator import BitEstimator
from icm_jax.layers.conv import Conv
from icm_jax.layers.depth_conv import DEPTH_SLOPE, DepthConvBlock

MIN_STEP = 0.5
MAX_SCALE = 1e10
Z_DOWN = 4  # positions of y to one of z, in each direction


class Hyper(NamedTuple):
    """What z_hat says about y: quantisation steps, and scales and means in units of them."""

    q: Float[Array, "b h w n"]
    scales: Float[Array, "b h w n"]
    means: Float[Array, "b h w n"]


class Coded(NamedTuple):
    """Output of a forward pass. `residual` is y/q - means before rounding, `scales` that of its own pass."""

    y_hat: Float[Array, "b h w n"]
    z: Float[Array, "b hz wz n"]
    z_hat: Float[Array, "b hz wz n"]
    residual: Float[Array, "b h w n"]
    scales: Float[Array, "b h w n"]
    y_bits: Float[Array, "b h w n"]
    z_bits: Float[Array, "b hz wz n"]


class Noise(NamedTuple):
    """Uniform in ±1/2, of the sizes of y and z: stands in for rounding in the rate of a training step."""

    y: Float[Array, "b h w n"]
    z: Float[Array, "b hz wz n"]


def first_pass(height: int, width: int, channels: int) -> Bool[np.ndarray, "h w n"]:
    """Which elements the first pass codes; the second codes the others."""
    even = (np.arange(height)[:, None] + np.arange(width)) % 2 == 0
    return np.repeat(np.stack([even, ~even], axis=-1), channels // 2, axis=-1)


def gaussian_bits(
    residual: Float[Array, "..."], scales: Float[Array, "..."], exact_tails: bool = True
) -> Float[Array, "..."]:
    """Bits of residuals (values minus their means) under a Gaussian; scales below 0.11 count as 0.11.

    With `exact_tails` the mass is a difference of two lower tails, which keep their digits; else of the published
    (1 + erf)/2, whose upper tail is a difference of numbers near 1 that loses what lies below 6e-8.
    """
    sigma = jnp.clip(scales, gaussian.SCALE_BOUND, MAX_SCALE)
    if exact_tails:
        residual, cdf = -jnp.abs(residual), gaussian.standard_cdf
    else:
        cdf = _published_cdf
    return bit_estimator.bits(cdf((residual + 0.5) / sigma) - cdf((residual - 0.5) / sigma))


def _published_cdf(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """Φ as the reference rounds it: (1 + erf)/2 with an erf that is right to the last bit.

    Gradients of far tails are the reference's only with the same losses; XLA's own erf loses ten times as much.
    """
    t = t * 0.5**0.5
    erf = jnp.where(t < 0, erfc(-t) - 1, 1 - erfc(t))
    return 0.5 * (1 + erf)


class DualSpatialPrior(nn.Module):
    """The networks and the distribution of z. y has `channels`, an even number; its sides are multiples of 4.

    Attributes:
        exact_tails: probabilities keep their digits in both tails, which changes estimated bits by up to 0.01; False
            loses them as EVC's code does.
    """

    channels: int
    exact_tails: bool = field(default=True, kw_only=True)

    def setup(self) -> None:
        n = self.channels
        self.h_a = HyperAnalysis(n)
        blocks = [DepthConvBlock(n, upsample=True), DepthConvBlock(n, upsample=True), DepthConvBlock(n)]
        self.h_s = nn.Sequential(blocks)
        self.fusion = nn.Sequential([DepthConvBlock(2 * n), DepthConvBlock(3 * n)])
        self.spatial = nn.Sequential([DepthConvBlock(3 * n), DepthConvBlock(2 * n), DepthConvBlock(2 * n)])
        self.z_prior = BitEstimator(n, self.exact_tails)

    def hyper_analyse(self, y: Float[Array, "b h w n"]) -> Float[Array, "b hz wz n"]:
        """y -> z, a quarter of its size."""
        return self.h_a(y)

    def hyper_synthesise(self, z_hat: Float[Array, "b hz wz n"]) -> Hyper:
        """z_hat -> steps, scales and means; scales are not bounded here."""
        q, scales, means = jnp.split(self.fusion(self.h_s(z_hat)), 3, axis=-1)
        return Hyper(jnp.where(q > MIN_STEP, q, MIN_STEP), scales, means)

    def second_pass(
        self, decoded: Float[Array, "b h w n"], hyper: Hyper
    ) -> tuple[Float[Array, "b h w n"], Float[Array, "b h w n"]]:
        """Scales and means for the second pass from what the first decoded, in units of q, zero elsewhere.

        Valid where the second pass codes.
        """
        out = self.spatial(jnp.concatenate([decoded, hyper.means, hyper.scales, hyper.q], axis=-1))
        scales_0, means_0, scales_1, means_1 = jnp.split(out, 4, axis=-1)
        return jnp.concatenate([scales_0, scales_1], axis=-1), jnp.concatenate([means_0, means_1], axis=-1)

    def z_bits(self, z_hat: Float[Array, "b hz wz n"]) -> Float[Array, "b hz wz n"]:
        """What every element of z_hat costs."""
        return self.z_prior.bits(z_hat)

    def __call__(self, y: Float[Array, "b h w n"], noise: Noise | None = None) -> Coded:
        """Forward pass with rounding, straight-through in its gradient.

        With `noise` the bits are those of unrounded values plus noise, as in training; y_hat is rounded all the same.
        """
        first = jnp.asarray(first_pass(*y.shape[1:]))
        z = self.hyper_analyse(y)
        z_hat = quantize.straight_through(z, jnp.zeros_like(z))
        hyper = self.hyper_synthesise(z_hat)
        scaled = y / hyper.q
        decoded = jnp.where(first, quantize.straight_through(scaled, hyper.means), 0)
        scales, means = self.second_pass(decoded, hyper)
        scales, means = jnp.where(first, hyper.scales, scales), jnp.where(first, hyper.means, means)
        residual = scaled - means
        rated = jnp.round(residual) if noise is None else residual + noise.y
        return Coded(
            y_hat=quantize.straight_through(scaled, means) * hyper.q,
            z=z,
            z_hat=z_hat,
            residual=residual,
            scales=scales,
            y_bits=gaussian_bits(rated, scales, self.exact_tails),
            z_bits=self.z_bits(z_hat if noise is None else z + noise.z),
        )


class HyperAnalysis(nn.Module):
    """h_a: y -> z."""

    channels: int

    @nn.compact
    def __call__(self, y: Float[Array, "b h w n"]) -> Float[Array, "b hz wz n"]:
        h = Conv(self.channels, 3, stride=2, name="conv1")(DepthConvBlock(self.channels, name="block0")(y))
        return Conv(self.channels, 3, stride=2, name="conv2")(jax.nn.leaky_relu(h, DEPTH_SLOPE))
