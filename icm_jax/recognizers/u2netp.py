"""U²-Netp: which pixels stand out (Qin et al., U²-Net, Pattern Recognition 2020, the small variant).

A U-Net whose every stage is a small U-Net of its own. Batch norms are part of the convolutions: published weights
with norms are folded on conversion.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.layers.resize import bilinear
from icm_jax.recognizers.layers import Conv, map_size
from icm_jax.recognizers.preprocessing import Preprocessing, Squash

PREPROCESSING = Preprocessing(Squash(320), by_maximum=True)

INNER, OUTER = 16, 64  # channels inside a stage, and between stages
LEVELS = (7, 6, 5, 4, 4, 4)  # of stages 1 to 6
FLAT = (5, 6)  # stages that dilate where the others pool


class Stage(nn.Module):
    """A residual U-Net of `levels` levels: halved and put together again, or, when flat, dilated more and more."""

    levels: int
    flat: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w 64"]:
        dilations = [2**k if self.flat else 1 for k in range(self.levels - 1)]
        x = _unit(x, OUTER, 1, "rebnconvin")
        skips = [_unit(x, INNER, 1, "rebnconv1")]
        for k, dilation in enumerate(dilations[1:], 2):
            y = skips[-1] if self.flat else halve(skips[-1])
            skips.append(_unit(y, INNER, dilation, f"rebnconv{k}"))
        y = _unit(skips[-1], INNER, 2 ** (self.levels - 1) if self.flat else 2, f"rebnconv{self.levels}")
        for k in range(self.levels - 1, 0, -1):
            y = _joined(y, skips[k - 1])
            y = _unit(y, INNER if k > 1 else OUTER, dilations[k - 1], f"rebnconv{k}d")
        return x + y


class U2NetP(nn.Module):
    """Input normalised; result: stages and sides by the published names, and `saliency` [b, h, w, 1] before sigmoid."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"]) -> dict[str, Array]:
        taps: dict[str, Array] = {}
        for n, levels in enumerate(LEVELS, 1):
            x = taps[f"stage{n}"] = Stage(levels, n in FLAT, name=f"stage{n}")(x if n == 1 else halve(x))
        outputs = {6: x}
        for n in range(5, 0, -1):
            x = _joined(x, taps[f"stage{n}"])
            x = taps[f"stage{n}d"] = Stage(LEVELS[n - 1], n in FLAT, name=f"stage{n}d")(x)
            outputs[n] = x
        for n in range(1, 7):
            taps[f"side{n}"] = Conv(1, 3, use_bias=True, name=f"side{n}")(outputs[n])
        size = map_size(taps["side1"])
        sides = jnp.concatenate([bilinear(taps[f"side{n}"], size) for n in range(1, 7)], -1)
        taps["saliency"] = Conv(1, 1, use_bias=True, name="outconv")(sides)
        return taps


def saliency_map(logits: Float[Array, "b h w 1"]) -> Float[Array, "b h w"]:
    """Saliency in 0..1: the probabilities, stretched so that every image has a 0 and a 1."""
    probability = nn.sigmoid(logits[..., 0])
    least = probability.min((1, 2), keepdims=True)
    spread = probability.max((1, 2), keepdims=True) - least
    return (probability - least) / jnp.where(spread > 0, spread, 1)


def halve(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """2×2 maxima; the last row and column of an odd size stand alone."""
    height, width = map_size(x)
    return nn.max_pool(x, (2, 2), (2, 2), ((0, height % 2), (0, width % 2)))


def _unit(x: Array, features: int, dilation: int, name: str) -> Array:
    return nn.relu(Conv(features, 3, dilation=dilation, use_bias=True, name=name)(x))


def _joined(deep: Array, skip: Array) -> Array:
    """The deeper map, brought to the size of its partner, in front of it."""
    return jnp.concatenate([bilinear(deep, map_size(skip)), skip], -1)
