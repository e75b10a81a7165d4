"""The convolutional transforms of Ballé et al. (ICLR 2018) and Minnen et al. (NeurIPS 2018), as CompressAI has them.

    g_a   conv 5×5 /2, normalise, three times; conv 5×5 /2           x [b, h, w, 3]  ─► y [b, h/16, w/16, m]
    h_a   conv 3×3, activation; conv 5×5 /2, activation; conv 5×5 /2              y  ─► z [b, h/64, w/64, n]
    h_s   deconv 5×5, activation; deconv 5×5, activation; conv 3×3                z  ─► parameters of y
    g_s   g_a mirrored

Layers are numbered as in the reference, where activations count. Nothing in them is random: `train` changes nothing.
"""

from collections.abc import Callable

import jax
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.conv import Conv, Deconv
from icm_jax.layers.gdn import GDN

Activation = Callable[[Array], Array]


def _normalised(x: Array, norm: str, name: str, inverse: bool = False) -> Array:
    """What stands between two convolutions of an image transform: "gdn" or "relu"."""
    return GDN(inverse, name=f"gdn{name}")(x) if norm == "gdn" else jax.nn.relu(x)


class Analysis(nn.Module):
    """g_a. `N` channels inside, `M` of y."""

    N: int
    M: int
    norm: str = "gdn"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], train: bool = False) -> Float[Array, "b hy wy m"]:
        for i in range(3):
            x = Conv(self.N, 5, stride=2, name=f"conv{2 * i}")(x)
            x = _normalised(x, self.norm, f"{2 * i + 1}")
        return Conv(self.M, 5, stride=2, name="conv6")(x)


class Synthesis(nn.Module):
    """g_s: y_hat -> image (not clamped)."""

    N: int
    norm: str = "gdn"

    @nn.compact
    def __call__(self, y_hat: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b h w 3"]:
        x = y_hat
        for i in range(3):
            x = Deconv(self.N, 5, name=f"deconv{2 * i}")(x)
            x = _normalised(x, self.norm, f"{2 * i + 1}", inverse=True)
        return Deconv(3, 5, name="deconv6")(x)


class HyperAnalysis(nn.Module):
    """h_a."""

    N: int
    activation: Activation = jax.nn.leaky_relu

    @nn.compact
    def __call__(self, y: Float[Array, "b hy wy m"], train: bool = False) -> Float[Array, "b hz wz n"]:
        h = self.activation(Conv(self.N, 3, name="conv0")(y))
        h = self.activation(Conv(self.N, 5, stride=2, name="conv2")(h))
        return Conv(self.N, 5, stride=2, name="conv4")(h)


class HyperSynthesis(nn.Module):
    """h_s. `widths`: channels after each of its three layers."""

    widths: tuple[int, int, int]
    activation: Activation = jax.nn.leaky_relu

    @nn.compact
    def __call__(self, z_hat: Float[Array, "b hz wz n"], train: bool = False) -> Float[Array, "b hy wy p"]:
        first, second, out = self.widths
        h = self.activation(Deconv(first, 5, name="deconv0")(z_hat))
        h = self.activation(Deconv(second, 5, name="deconv2")(h))
        return Conv(out, 3, name="conv4")(h)
