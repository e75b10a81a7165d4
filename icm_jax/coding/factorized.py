"""Coding latents under a factorised prior alone: no z, no scales, nothing that two machines could disagree about.

    y ─► round(y - median) ─► [Y], by the integer table of its channel

These tables are the codec's `z_tables`: the prior is the one that z has in other codecs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Float, Int32

from icm_jax.bitstream import rans
from icm_jax.bitstream.container import Section, SectionType, symbol_hash
from icm_jax.bitstream.errors import SymbolMismatch
from icm_jax.canvas import Canvas
from icm_jax.coding import latents
from icm_jax.coding.latents import Quantised
from icm_jax.pretrained.store import StoredCodec

SCALE_PATH: tuple[str, ...] = ()


class Symbols(NamedTuple):
    """The integers of one image."""

    y: Int32[np.ndarray, "hy wy m"]


def quantise(
    codec: StoredCodec,
    params64: dict,
    y: Float[Array, "b hy wy m"],
    z: Any,
    canvases: Sequence[Canvas],
) -> Quantised:
    """Rounds the latents of a batch of images that share the size of their canvas; `z` is empty.

    Latents outside an image's coded part take the most likely value, symbol 0, here as in the decoder.
    """
    del params64, z
    y_symbols, y_hat = latents.quantise_z(codec, np.asarray(y), canvases)  # to the prior, y is a z
    symbols = []
    for i, canvas in enumerate(canvases):
        hy, wy = canvas.coded_grid(codec.spec.y_stride)
        symbols.append(Symbols(y_symbols[i, :hy, :wy]))
    return _quantised(y_hat, symbols)


def write(codec: StoredCodec, symbols: Symbols, precision: str = "float64") -> tuple[list[Section], int]:
    """Section of one image and the hash of its symbols; the same in any precision, as no scale is computed."""
    del precision
    y = latents.channel_major(symbols.y)
    string = rans.encode(y, latents.channel_indexes(symbols.y.shape), codec.z_tables)
    return [Section(SectionType.Y, string)], symbol_hash([y])


def read(
    codec: StoredCodec,
    params64: dict,
    sections: Sequence[Section],
    canvas: Canvas,
    expected_hash: int,
    precision: str = "float64",
) -> Quantised:
    """Latents of one image from its section.

    Raises:
        StreamError: the section is damaged, or the symbols differ from what the encoder wrote.
    """
    del params64, precision
    spec = codec.spec
    (string,) = latents.required(sections, SectionType.Y)
    shape = (*canvas.coded_grid(spec.y_stride), spec.M)
    y = rans.decode(string, latents.channel_indexes(shape), codec.z_tables, section="Y")
    if symbol_hash([y]) != expected_hash:
        raise SymbolMismatch("their hashes differ although no section is damaged")
    symbols = latents.from_channel_major(y, shape)
    y_hat = latents.on_canvas(symbols, canvas.grid(spec.y_stride)) + latents.medians(codec)
    return _quantised(y_hat[None], [Symbols(symbols)])


def symbol_bits(codec: StoredCodec, symbols: Symbols) -> tuple[np.ndarray, np.ndarray]:
    """Bits of every symbol from the integer tables: none of z, and [hy, wy, m]."""
    return np.zeros((*symbols.y.shape[:2], 0)), latents.z_bits(codec, symbols.y)


def _quantised(y_hat: Float[np.ndarray, "b hy wy m"], symbols: list[Symbols]) -> Quantised:
    nothing = np.zeros((*y_hat.shape[:3], 0), np.float32)
    return Quantised(y_hat.astype(np.float32), nothing, nothing.astype(np.float64), nothing, symbols)
