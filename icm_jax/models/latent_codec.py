"""What all codecs share: a transform to latents and back, and a factorised prior.

    x ──► g_a ──► y ──► … ──► y_hat ──► g_s ──► x_hat
                  └──► h_a ──► z ──► round ──► z_hat ──► …      what lies between is a subclass' affair

`Hyperprior` here and `models.context.ContextHyperprior` are the two ways from z_hat to the Gaussians of y. A codec is a
subclass whose `setup` makes g_a, h_a, h_s, g_s (each called with its input and `train`) and z_prior.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.entropy import gaussian, quantize
from icm_jax.layers.dense import at_least_float32

Quantise = Callable[[Array, Array], Array]


class Latents(NamedTuple):
    """Output of a forward pass. Likelihoods are those of the quantised (or noisy) latents."""

    x_hat: Float[Array, "b h w 3"]
    y_hat: Float[Array, "b hy wy m"]
    z_hat: Float[Array, "b hz wz n"]
    y_likelihoods: Float[Array, "b hy wy m"]
    z_likelihoods: Float[Array, "b hz wz n"]


class LatentCodec(nn.Module):
    """Methods are the steps a coder or a trainer puts together; a subclass adds `forward`."""

    def analyse(self, x: Float[Array, "b h w 3"], train: bool = False) -> Float[Array, "b hy wy m"]:
        """Image in [0, 1] -> y. Height and width must be multiples of 64."""
        return self.g_a(x, train)

    def hyper_analyse(self, y: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b hz wz n"]:
        """y -> z."""
        return self.h_a(y, train)

    def synthesise(self, y_hat: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b h w 3"]:
        """y_hat -> image, not clamped."""
        return self.g_s(y_hat, train)

    def quantise_z(self, z: Float[Array, "b hz wz n"]) -> Float[Array, "b hz wz n"]:
        """Rounds z around its medians."""
        return quantize.round_to(z, self.z_prior.medians())

    def z_likelihoods(self, z_hat: Float[Array, "b hz wz n"]) -> Float[Array, "b hz wz n"]:
        """Probability of every element of z_hat under the factorised prior."""
        return self.z_prior.likelihood(z_hat)

    def y_likelihoods(
        self,
        y_hat: Float[Array, "b hy wy m"],
        scales: Float[Array, "b hy wy m"],
        means: Float[Array, "b hy wy m"],
    ) -> Float[Array, "b hy wy m"]:
        """Probability of every element of y_hat under its Gaussian."""
        return gaussian.likelihood(y_hat, scales, means)

    def auxiliary_loss(self) -> Float[Array, ""]:
        """Loss of the prior's quantiles, minimised by an optimiser of its own."""
        return self.z_prior.auxiliary_loss()

    def __call__(self, x: Float[Array, "b h w 3"], train: bool = False, rounded: bool = False) -> Latents:
        """Whole forward pass: rounding when `train` is False, uniform noise (rng "noise") when True.

        `rounded` with `train`: likelihoods of noisy latents, but both decoders see rounded ones with a
        straight-through gradient, as they will in a stream (Minnen and Singh, ICIP 2020, section 3.3).
        """
        if not train:
            return self.forward(x, quantize.round_to)

        def noisy(value: Array, centre: Array) -> Array:
            return quantize.add_noise(value, self.make_rng("noise"))

        return self.forward(x, noisy, train, quantize.straight_through if rounded else None)


class Hyperprior(LatentCodec):
    """Scales and means of y are functions of z_hat alone (Minnen et al., NeurIPS 2018, without the context)."""

    def hyper_synthesise(
        self, z_hat: Float[Array, "b hz wz n"], train: bool = False
    ) -> tuple[Float[Array, "b hy wy m"], Float[Array, "b hy wy m"]]:
        """z_hat -> (scales, means) of y; scales are not bounded here."""
        scales, means = jnp.split(self.h_s(z_hat, train), 2, axis=-1)
        return scales, means

    def forward(
        self,
        x: Float[Array, "b h w 3"],
        quantise: Quantise,
        train: bool = False,
        decoded: Quantise | None = None,
    ) -> Latents:
        """Forward pass with a given quantiser `quantise(value, centre)`, called for z first, then for y.

        Likelihoods are those of its results; h_s and g_s get them too, or those of a second quantiser, `decoded`.
        """
        y = at_least_float32(self.analyse(x, train))
        z = self.hyper_analyse(y, train)
        medians = self.z_prior.medians()
        z_hat = quantise(z, medians)
        scales, means = self.hyper_synthesise(z_hat if decoded is None else decoded(z, medians), train)
        y_hat = quantise(y, means)
        return Latents(
            x_hat=at_least_float32(self.synthesise(y_hat if decoded is None else decoded(y, means), train)),
            y_hat=y_hat,
            z_hat=z_hat,
            y_likelihoods=self.y_likelihoods(y_hat, scales, means),
            z_likelihoods=self.z_likelihoods(z_hat),
        )
