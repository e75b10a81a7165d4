"""A network before a classical codec that keeps what a task needs: a residual U-Net on pixels (DoRA-ICM's baseline).

    x ─► head ─► blocks ─► down ─► blocks ─► down ─► … ─► blocks ─► up ─► join ─► blocks ─► … ─► tail ─► x + f(x)
                   └──────────────────────────────────────────────────────┘

The paper re-implements a neural pre-processor, enlarged to 60 M parameters, and prints no more of it; four levels of
these widths have 56 M.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.layers.conv import Conv
from icm_jax.layers.pixel_shuffle import pixel_shuffle
from icm_jax.layers.residual import ResidualBlock


@dataclass(frozen=True)
class PreprocessorSpec:
    """Shape of the network: channels of every level, finest first, and residual blocks of each."""

    widths: tuple[int, ...] = (96, 192, 384, 768)
    blocks: int = 2

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise IcmError(f"widths={self.widths}; a pre-processor has at least one level of one channel")

    @property
    def unit(self) -> int:
        """What sides are multiples of."""
        return 2 ** (len(self.widths) - 1)


class Preprocessor(nn.Module):
    """The network; it starts as the identity. Sides are multiples of `spec.unit`."""

    spec: PreprocessorSpec

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """Images in 0..1 to images in 0..1."""
        widths, kept = self.spec.widths, []
        x = Conv(widths[0], 3, name="head")(images)
        for level, width in enumerate(widths):
            if level:
                x = Conv(width, 3, stride=2, name=f"down{level}")(x)
            x = self._blocks(x, f"down{level}")
            kept.append(x)
        for level in reversed(range(len(widths) - 1)):
            up = pixel_shuffle(Conv(4 * widths[level], 3, name=f"up{level}")(x))
            x = Conv(widths[level], 3, name=f"join{level}")(jnp.concatenate([up, kept[level]], axis=-1))
            x = self._blocks(x, f"up{level}")
        return jnp.clip(images + Conv(3, 3, initializer="zeros", name="tail")(x), 0, 1)

    def _blocks(self, x: Float[Array, "b h w c"], name: str) -> Float[Array, "b h w c"]:
        for i in range(self.spec.blocks):
            x = ResidualBlock(x.shape[-1], name=f"{name}_block{i}")(x)
        return x
