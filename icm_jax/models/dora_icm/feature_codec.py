"""Codec of features: a convolution into the latents, EVC's entropy model, a convolution back.

    features and prediction [h, w] ─► g_a ─► y ─► dual spatial prior ─► y_hat ─► g_s ─► the same, as decoded

The paper names the entropy model and no more; two 3×3 convolutions and 448 channels give its parameter count.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from icm_jax.entropy.dual_spatial import Z_DOWN, Coded, DualSpatialPrior, Noise
from icm_jax.layers.conv import Conv
from icm_jax.models.dora_icm.spec import DoraICMSpec


class Decoded(NamedTuple):
    """Features as the decoder gets them, and the bits of each image."""

    features: Float[Array, "b h w c"]
    bits: Float[Array, "b"]


class FeatureCodec(DualSpatialPrior):
    """The entropy model and a convolution at either end."""

    features: int

    def setup(self) -> None:
        super().setup()
        self.g_a = Conv(self.channels, 3)
        self.g_s = Conv(self.features, 3)

    def analyse(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h4 w4 n"]:
        """Features -> y, its last rows and columns repeated up to multiples of 4."""
        h, w = x.shape[1:3]
        return jnp.pad(self.g_a(x), ((0, 0), (0, -h % Z_DOWN), (0, -w % Z_DOWN), (0, 0)), mode="edge")

    def synthesise(self, y_hat: Float[Array, "b h w n"]) -> Float[Array, "b h w c"]:
        """y_hat -> features."""
        return self.g_s(y_hat)

    def code(self, x: Float[Array, "b h w c"], key: Array | None = None) -> Decoded:
        """Features as decoded, and what they cost: rounded, or with noise in the rate from `key`, for training.

        Latents that only fill up the grid cost nothing: a stream does not hold them.
        """
        h, w = x.shape[1:3]
        y = self.analyse(x)
        coded: Coded = self(y, None if key is None else uniform_noise(key, y.shape))
        bits = coded.y_bits[:, :h, :w].sum((1, 2, 3)) + coded.z_bits.sum((1, 2, 3))
        return Decoded(self.synthesise(coded.y_hat[:, :h, :w]), bits)


def uniform_noise(key: Array, shape: tuple[int, ...]) -> Noise:
    """Noise in ±1/2 for latents y of this shape and their z."""
    b, h, w, n = shape
    of_y, of_z = jax.random.split(key)
    y = jax.random.uniform(of_y, shape, minval=-0.5, maxval=0.5)
    return Noise(y, jax.random.uniform(of_z, (b, h // Z_DOWN, w // Z_DOWN, n), minval=-0.5, maxval=0.5))


def feature_codec(spec: DoraICMSpec) -> FeatureCodec:
    """The codec of a model."""
    return FeatureCodec(spec.N, spec.coded)
