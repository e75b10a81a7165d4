"""Patches to tokens, and how weights trained for one patch size or grid are carried to another."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jaxtyping import Float

from icm_jax.errors import IcmError
from icm_jax.layers.bicubic import bicubic, resize_matrix
from icm_jax.layers.dense import dense_init, matmul


class PatchEmbed(nn.Module):
    """One token a patch of `patch`×`patch` pixels, row by row: a convolution whose stride is its kernel size."""

    features: int
    patch: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b n d"]:
        b, height, width, channels = x.shape
        p = self.patch
        if height % p or width % p:
            raise IcmError(
                f"image of {width}×{height} pixels is no multiple of the patch size {p}; pad or crop it"
            )
        kernel = self.param("kernel", dense_init, (p, p, channels, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        patches = x.reshape(b, height // p, p, width // p, p, channels).transpose(0, 1, 3, 2, 4, 5)
        patches = patches.reshape(b, -1, p * p * channels)
        return matmul(patches, kernel.reshape(-1, self.features).astype(x.dtype)) + bias.astype(x.dtype)


def resize_positions(
    positions: Float[Array, "1 n1 d"], source: tuple[int, int], target: tuple[int, int]
) -> Float[Array, "1 n2 d"]:
    """Position embedding of another grid: bicubic with antialiasing, the slot of the class token unchanged."""
    if source == target:
        return positions
    if positions.shape[1] != 1 + source[0] * source[1]:
        raise IcmError(
            f"{positions.shape[1]} position embeddings are not 1 + {source[0]}×{source[1]}; give their own grid"
        )
    width = positions.shape[-1]
    resized = bicubic(positions[:, 1:].reshape(1, *source, width), target, antialias=True)
    return jnp.concatenate([positions[:, :1], resized.reshape(1, -1, width)], axis=1)


def resample_matrix(source: tuple[int, int], target: tuple[int, int]) -> Float[np.ndarray, "t s"]:
    """How a resize with antialiasing maps the pixels of a patch of size `source` to one of size `target`."""
    rows, cols = (resize_matrix(s, t, antialias=True) for s, t in zip(source, target, strict=True))
    return np.kron(rows, cols)


def resample_kernel(
    kernel: Float[np.ndarray, "p p c d"], size: tuple[int, int]
) -> Float[np.ndarray, "q q c d"]:
    """Patch kernel for patches of another size, by pseudo-inverse resize (FlexiViT; Beyer et al., CVPR 2023).

    Its product with a resized patch is, as far as can be, that of the old kernel with the patch. Resizing the
    kernel like an image would not keep that product.
    """
    p, q, channels, features = kernel.shape
    if (p, q) == size:
        return kernel
    inverse = np.linalg.pinv(resample_matrix((p, q), size))
    flat = inverse.T @ kernel.reshape(p * q, -1).astype(np.float64)
    return flat.reshape(*size, channels, features).astype(kernel.dtype)
