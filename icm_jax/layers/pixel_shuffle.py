"""Twice the height and width out of four times the channels."""

from jax import Array
from jaxtyping import Float


def pixel_shuffle(x: Float[Array, "b h w c4"]) -> Float[Array, "b h2 w2 c"]:
    """Channels to pixels: out[2i + a, 2j + b, c] = in[i, j, 4c + 2a + b], as PyTorch orders them."""
    b, h, w, channels = x.shape
    cells = x.reshape(b, h, w, channels // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return cells.reshape(b, 2 * h, 2 * w, channels // 4)
