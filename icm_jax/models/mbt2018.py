"""The codecs of Minnen et al., "Joint autoregressive and hierarchical priors" (NeurIPS 2018).

    mean    z_hat ─► h_s ─► scales, means of y
    joint   h_s beside a masked convolution over what was decoded before ─► entropy parameters ─► scales, means of y

Names, layers and parameters are those of CompressAI's zoo; `weights_convert.compressai` reads its checkpoints.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import jax

from icm_jax.entropy.factorized import FactorizedPrior
from icm_jax.layers.causal_conv import CausalConv
from icm_jax.models import convolutional
from icm_jax.models.context_codec import ContextCodec, EntropyParameters
from icm_jax.models.latent_codec import Hyperprior


@dataclass(frozen=True)
class MeanScaleHyperpriorSpec:
    """`mbt2018-mean`. N channels inside the transforms and of z, M of y."""

    N: int = 128
    M: int = 192

    y_stride: int = field(default=16, init=False)
    z_stride: int = field(default=64, init=False)


@dataclass(frozen=True)
class JointSpec:
    """`mbt2018`. N channels inside the transforms and of z, M of y."""

    N: int = 192
    M: int = 192

    y_stride: int = field(default=16, init=False)
    z_stride: int = field(default=64, init=False)
    context_window: ClassVar[int] = 5


class MeanScaleHyperprior(Hyperprior):
    """Without the context model."""

    spec: MeanScaleHyperpriorSpec

    def setup(self) -> None:
        n, m = self.spec.N, self.spec.M
        self.g_a = convolutional.Analysis(n, m)
        self.h_a = convolutional.HyperAnalysis(n)
        self.h_s = convolutional.HyperSynthesis((m, 3 * m // 2, 2 * m))
        self.g_s = convolutional.Synthesis(n)
        self.z_prior = FactorizedPrior(n)


class Joint(ContextCodec):
    """With it."""

    spec: JointSpec

    def setup(self) -> None:
        n, m = self.spec.N, self.spec.M
        self.g_a = convolutional.Analysis(n, m)
        self.h_a = convolutional.HyperAnalysis(n)
        self.h_s = convolutional.HyperSynthesis((m, 3 * m // 2, 2 * m))
        self.g_s = convolutional.Synthesis(n)
        self.context = CausalConv(2 * m, self.spec.context_window)
        self.entropy_parameters = EntropyParameters(m, jax.nn.leaky_relu)
        self.z_prior = FactorizedPrior(n)
