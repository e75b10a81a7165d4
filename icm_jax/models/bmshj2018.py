"""The codecs of Ballé et al., "Variational image compression with a scale hyperprior" (ICLR 2018).

    factorized   y ─► round ─► y_hat                                 one learned density a channel
    hyperprior   |y| ─► h_a ─► z ─► round ─► z_hat ─► h_s ─► scales  y_hat = round(y), zero-mean Gaussians

Names, layers and parameters are those of CompressAI's zoo; `weights_convert.compressai` reads its checkpoints.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from icm_jax.entropy.factorized import FactorizedPrior
from icm_jax.layers.dense import at_least_float32
from icm_jax.models import convolutional
from icm_jax.models.latent_codec import Hyperprior, LatentCodec, Latents, Quantise


@dataclass(frozen=True)
class FactorizedSpec:
    """`bmshj2018-factorized`. N channels inside the transforms, M of y. There is no z: its stride is that of y."""

    N: int = 128
    M: int = 192

    y_stride: int = field(default=16, init=False)
    z_stride: int = field(default=16, init=False)
    norm: ClassVar[str] = "gdn"


@dataclass(frozen=True)
class FactorizedReluSpec(FactorizedSpec):
    """`bmshj2018-factorized-relu`: ReLU in place of GDN."""

    norm: ClassVar[str] = "relu"


@dataclass(frozen=True)
class ScaleHyperpriorSpec:
    """`bmshj2018-hyperprior`. N channels inside the transforms and of z, M of y."""

    N: int = 128
    M: int = 192

    y_stride: int = field(default=16, init=False)
    z_stride: int = field(default=64, init=False)


class Factorized(LatentCodec):
    """y under the prior that is z's in other codecs, and under its name; z has no channels here."""

    spec: FactorizedSpec

    def setup(self) -> None:
        spec = self.spec
        self.g_a = convolutional.Analysis(spec.N, spec.M, spec.norm)
        self.g_s = convolutional.Synthesis(spec.N, spec.norm)
        self.z_prior = FactorizedPrior(spec.M)

    def hyper_analyse(self, y: Float[Array, "b h w m"], train: bool = False) -> Float[Array, "b h w 0"]:
        """Nothing."""
        return y[..., :0]

    def hyper_synthesise(
        self, z_hat: Float[Array, "b h w n"], train: bool = False
    ) -> tuple[Float[Array, "b h w 0"], Float[Array, "b h w 0"]]:
        """No scales and no means."""
        return z_hat[..., :0], z_hat[..., :0]

    def z_likelihoods(self, z_hat: Float[Array, "b h w 0"]) -> Float[Array, "b h w 0"]:
        """Of nothing."""
        return z_hat

    def y_likelihoods(
        self, y_hat: Float[Array, "b h w m"], scales: Float[Array, "b h w 0"], means: Float[Array, "b h w 0"]
    ) -> Float[Array, "b h w m"]:
        """Probability of every element of y_hat under the factorised prior."""
        return self.z_prior.likelihood(y_hat)

    def forward(
        self,
        x: Float[Array, "b h w 3"],
        quantise: Quantise,
        train: bool = False,
        decoded: Quantise | None = None,
    ) -> Latents:
        """Forward pass with a given quantiser; see `Hyperprior.forward`."""
        y, medians = at_least_float32(self.analyse(x, train)), self.z_prior.medians()
        y_hat, nothing = quantise(y, medians), self.hyper_analyse(y)
        return Latents(
            x_hat=at_least_float32(self.synthesise(y_hat if decoded is None else decoded(y, medians), train)),
            y_hat=y_hat,
            z_hat=nothing,
            y_likelihoods=self.y_likelihoods(y_hat, nothing, nothing),
            z_likelihoods=nothing,
        )


class ScaleHyperprior(Hyperprior):
    """The means of all Gaussians are zero."""

    spec: ScaleHyperpriorSpec

    def setup(self) -> None:
        n, m = self.spec.N, self.spec.M
        self.g_a = convolutional.Analysis(n, m)
        self.h_a = convolutional.HyperAnalysis(n, jax.nn.relu)
        self.h_s = convolutional.HyperSynthesis((n, n, m), jax.nn.relu)
        self.g_s = convolutional.Synthesis(n)
        self.z_prior = FactorizedPrior(n)

    def hyper_analyse(self, y: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b hz wz n"]:
        """|y| -> z: a scale does not depend on a sign."""
        return self.h_a(jnp.abs(y), train)

    def hyper_synthesise(
        self, z_hat: Float[Array, "b hz wz n"], train: bool = False
    ) -> tuple[Float[Array, "b hy wy m"], Float[Array, "b hy wy m"]]:
        """z_hat -> (scales, means) of y; the scales are not negative, the means are zero."""
        scales = jax.nn.relu(self.h_s(z_hat, train))
        return scales, jnp.zeros_like(scales)
