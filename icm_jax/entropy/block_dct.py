"""A stand-in for a classical intra codec that gradients pass through: 8×8 cosine transform of YCbCr, uniform steps.

rgb ─► YCbCr ─► DCT of 8×8 blocks ─► c ─► step · round(c / step) ─► back ─► rgb as decoded
                                     └─► Σ log2(1 + |c| / step)             bits, up to a constant factor
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from icm_jax.entropy import quantize

SIDE = 8
# JFIF's, of values in 0..1; chroma around 0.
TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)


class Coded(NamedTuple):
    """Images as decoded, and what stands for the bits of each."""

    images: Float[Array, "b h w 3"]
    bits: Float[Array, "b"]


def dct_matrix() -> Float[np.ndarray, "8 8"]:
    """Orthonormal DCT-II: rows are frequencies."""
    k, n = np.arange(SIDE)[:, None], np.arange(SIDE)
    basis: np.ndarray = np.sqrt(2 / SIDE) * np.cos(np.pi * (2 * n + 1) * k / (2 * SIDE))
    basis[0] = np.sqrt(1 / SIDE)
    return basis.astype(np.float32)


def block_dct_coded(images: Float[Array, "b h w 3"], step: float | Array) -> Coded:
    """Images in 0..1 whose sides are multiples of 8, coded with steps of `step` (in the same units)."""
    b, h, w, _ = images.shape
    basis = dct_matrix()
    blocks = (images @ TO_YCBCR.T).reshape(b, h // SIDE, SIDE, w // SIDE, SIDE, 3)
    c = jnp.einsum("ki,bxiyjc,lj->bxkylc", basis, blocks, basis) / step
    decoded = quantize.straight_through(c, jnp.zeros_like(c)) * step
    back = jnp.einsum("ki,bxkylc,lj->bxiyjc", basis, decoded, basis).reshape(images.shape)
    bits = jnp.log2(1 + jnp.abs(c)).sum((1, 2, 3, 4, 5))
    return Coded(back @ np.linalg.inv(TO_YCBCR).T, bits)
