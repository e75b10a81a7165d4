"""Golden checks of images whose size does not fit the codec's grid: the reference's alignment helper.

    x ─► resized up to multiples of 256 ─► codec ─► resized back ─► clamped          (or: edges repeated)

Such a file holds no latents, so this is the one check that runs end to end. Where a latent lies on a rounding
boundary up to float32 noise, both of its roundings are tried.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from icm_jax.entropy import gaussian
from icm_jax.layers.resize import aligned_size, bilinear, pad_edges
from icm_jax.models.tic import REFERENCE_RESOLUTION
from weights_convert.golden_coder import ROUNDING_MARGIN, rounding_margin
from weights_convert.golden_file import EXACT, GoldenFile, Tolerance, to_nchw
from weights_convert.reference_codec import Codec, bits

TOLERANCES = {
    "resize": Tolerance(absolute=1e-6),
    "x_hat": Tolerance(absolute=3 * 4e-5),
    "bits": Tolerance(relative=1e-5),
    "mse": Tolerance(relative=1e-5),
}
OUTPUT = "odd/x_hat_resumed_clamped"


class Decoding(NamedTuple):
    """One outcome of the codec: image [b, h, w, 3] before it is resized back, bits, flipped latents."""

    x_hat: np.ndarray
    bits: float
    note: str


def check_odd_size(file: GoldenFile, codec: Codec) -> None:
    """Compares every odd/* array of the file."""
    x = file.read_map("odd/x_u8") / np.float32(255)
    h, w = x.shape[1:3]
    aligned = np.asarray(bilinear(jnp.asarray(x), aligned_size(h, w, REFERENCE_RESOLUTION)))
    padded = np.asarray(pad_edges(jnp.asarray(x), REFERENCE_RESOLUTION))
    file.compare_map("odd/aligned_resize", aligned, TOLERANCES["resize"])
    file.compare("odd/pad_shape", np.array(to_nchw(padded).shape), EXACT)
    file.compare_map("odd/pad_corner", padded[:, h - 2 : h + 2, w - 2 : w + 2], EXACT)

    decoding, resumed = _closest(file, codec, aligned, (h, w))
    file.compare_map(OUTPUT, resumed, TOLERANCES["x_hat"], decoding.note)
    file.compare("odd/bits", decoding.bits, TOLERANCES["bits"])
    pixels = x.shape[0] * h * w
    file.compare("odd/bpp_over_original_pixels", decoding.bits / pixels, TOLERANCES["bits"])
    file.compare("odd/mse", np.mean((resumed - x) ** 2, dtype=np.float64), TOLERANCES["mse"])


def _closest(
    file: GoldenFile, codec: Codec, aligned: np.ndarray, size: tuple[int, int]
) -> tuple[Decoding, np.ndarray]:
    """The first decoding that agrees with the file's output, resized back; the plain one if none does."""
    key = next((match[0] for match in file.matching(OUTPUT + r"(@stride\d+)?")), None)
    plain = None
    for decoding in _decodings(codec, aligned):
        resumed = np.clip(np.asarray(bilinear(jnp.asarray(decoding.x_hat), size)), 0, 1)
        plain = plain or (decoding, resumed)
        if key is None:
            break
        stride = int(key.partition("@stride")[2] or 1)
        difference = to_nchw(resumed)[:, :, ::stride, ::stride] - file.arrays[key]
        if np.abs(difference).max() <= TOLERANCES["x_hat"].absolute:
            return decoding, resumed
    assert plain is not None
    return plain


def _decodings(codec: Codec, image: np.ndarray) -> Iterator[Decoding]:
    """The plain decoding first, then those with one undecidable element of z, of y, or of both flipped."""
    y = np.asarray(codec.run("analyse", image))
    z = np.asarray(codec.run("hyper_analyse", y))
    for z_hat, z_note in _roundings(z, codec.medians(), "z"):
        scales, means = codec.run("hyper_synthesise", z_hat)
        z_bits = bits(codec.run("z_likelihoods", z_hat))
        for y_hat, y_note in _roundings(y, np.asarray(means), "y"):
            x_hat = np.asarray(codec.run("synthesise", y_hat))
            y_bits = bits(gaussian.likelihood(jnp.asarray(y_hat), scales, means))
            yield Decoding(x_hat, y_bits + z_bits, " ".join(filter(None, (z_note, y_note))))


def _roundings(latent: np.ndarray, centre: np.ndarray, name: str) -> Iterator[tuple[np.ndarray, str]]:
    """round(latent - centre) + centre, then the same with each undecidable element on its other side."""
    offset = latent - centre
    symbols = np.round(offset)
    yield symbols + centre, ""
    margin = rounding_margin(offset)
    for position in np.argsort(margin, axis=None):
        at = np.unravel_index(position, margin.shape)
        if margin[at] >= ROUNDING_MARGIN:
            return
        flipped = symbols.copy()
        flipped[at] = np.floor(offset[at]) + np.ceil(offset[at]) - symbols[at]
        yield flipped + centre, f"{name} flipped at margin {margin[at]:.0e};"
