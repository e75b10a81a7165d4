"""Codecs whose Gaussian of a position depends on the positions decoded before it.

    x ──► g_a ──► y ──► h_a ──► z_hat ──► h_s ──► params ─┐
                                                          ├─► entropy parameters ─► scales, means of y_hat
    y_hat so far ──► context ──► features ────────────────┘
    y_hat ──► g_s ──► x_hat

Streams of these codecs: `icm_jax.coding.context`.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.entropy import quantize
from icm_jax.layers.causal_attention import causal_neighbours
from icm_jax.layers.conv import initializers
from icm_jax.models.latent_codec import LatentCodec, Latents, Quantise


class EntropyParameters(nn.Module):
    """Parameters from h_s and context features, side by side -> scales and means, position by position."""

    channels: int
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, features: Float[Array, "*b m4"]) -> tuple[Float[Array, "*b m"], Float[Array, "*b m"]]:
        h = features
        widths = (10 * self.channels // 3, 8 * self.channels // 3, 2 * self.channels)
        for i, width in enumerate(widths):
            h = self.activation(h) if i else h
            kernel_init, bias_init = initializers("uniform", h.shape[-1])  # published as 1×1 convolutions
            h = nn.Dense(width, kernel_init=kernel_init, bias_init=bias_init, name=f"dense{2 * i}")(h)
        scales, means = jnp.split(h, 2, axis=-1)
        return scales, means


class ContextCodec(LatentCodec):
    """A subclass' `setup` also makes `context`, a module that maps neighbours to features, and `entropy_parameters`.

    Its `spec` has a `context_window`, the side of the square whose decoded half is the context of a position.
    """

    def hyper_synthesise(
        self, z_hat: Float[Array, "b hz wz n"], train: bool = False
    ) -> Float[Array, "b hy wy m2"]:
        """z_hat -> parameters that `gaussian_at` turns into scales and means."""
        return self.h_s(z_hat, train)

    def context_features(self, y_hat: Float[Array, "b hy wy m"]) -> Float[Array, "b hy wy m2"]:
        """Context of every position of a map that is known as a whole."""
        return self.context(causal_neighbours(y_hat, self.spec.context_window))

    def gaussians(
        self, params: Float[Array, "b hy wy m2"], y_hat: Float[Array, "b hy wy m"]
    ) -> tuple[Float[Array, "b hy wy m"], Float[Array, "b hy wy m"]]:
        """(scales, means) of every position of a map that is known as a whole: the parallel evaluation."""
        return self.gaussian_at(params, causal_neighbours(y_hat, self.spec.context_window))

    def gaussian_at(
        self, params: Float[Array, "*b m2"], neighbours: Float[Array, "*b k m"]
    ) -> tuple[Float[Array, "*b m"], Float[Array, "*b m"]]:
        """(scales, means) of any positions from their h_s parameters and neighbours (`causal_offsets`)."""
        return self.entropy_parameters(jnp.concatenate([params, self.context(neighbours)], axis=-1))

    def __call__(
        self, x: Float[Array, "b h w 3"], train: bool = False, rounded: bool = False, reference: bool = False
    ) -> Latents:
        """Whole forward pass; see `LatentCodec`, and for `reference` see `forward`."""
        if reference:
            return self.forward(x, quantize.round_to, reference=True)
        return super().__call__(x, train, rounded)

    def forward(
        self,
        x: Float[Array, "b h w 3"],
        quantise: Quantise,
        train: bool = False,
        decoded: Quantise | None = None,
        reference: bool = False,
    ) -> Latents:
        """Forward pass with a given quantiser `quantise(value, centre)`, called for z first, then for y.

        All positions at once, so y can not be quantised around its means: they depend on the result. y_hat is
        `quantise(y, 0)`, and rate, context and decoded image all are of this one latent. A real stream rounds
        around the means instead, position after position (`icm_jax.coding.context`), and is a little smaller.

        Args:
            reference: the published evaluation, which takes the likelihoods of `quantise(y, means)` and all
                else from `quantise(y, 0)`: it estimates the rate of a latent that is not the decoded one.
        """
        y = self.analyse(x, train)
        z, medians, zero = self.hyper_analyse(y, train), self.z_prior.medians(), jnp.zeros((), y.dtype)
        z_hat = quantise(z, medians)
        params = self.hyper_synthesise(z_hat if decoded is None else decoded(z, medians), train)
        y_hat = quantise(y, zero)
        scales, means = self.gaussians(params, y_hat)
        rated = quantise(y, means) if reference else y_hat
        return Latents(
            x_hat=self.synthesise(y_hat if decoded is None else decoded(y, zero), train),
            y_hat=y_hat,
            z_hat=z_hat,
            y_likelihoods=self.y_likelihoods(rated, scales, means),
            z_likelihoods=self.z_likelihoods(z_hat),
        )
