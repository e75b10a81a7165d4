"""Coding the latents of a mean–scale hyperprior: z by its factorised tables, y by those its scales name.

    y ─► h_a ─► z ─► z symbols ─► [Z]
                      └► z_hat ─► h_s (float64) ─► scales ─► indexes ─► [GUARD]
                                            └► means ─► y symbols ──────► [Y]

Symbols are what the coder sees: round(z - median) and round(y - mean), in the order of
CompressAI (channel-major).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Float, Float64, Int32

from icm_jax.bitstream import guard, rans
from icm_jax.bitstream.container import Section, SectionType, symbol_hash
from icm_jax.bitstream.errors import SymbolMismatch
from icm_jax.canvas import Canvas
from icm_jax.coding import latents
from icm_jax.coding.latents import Quantised
from icm_jax.models import programs
from icm_jax.pretrained.store import StoredCodec

SCALE_PATH: tuple[str, ...] = ("h_s",)  # the networks that decide scales: what runs in float64


class Symbols(NamedTuple):
    """The integers of one image, and the float64 scales that choose the table of every y symbol."""

    z: Int32[np.ndarray, "hz wz n"]
    y: Int32[np.ndarray, "hy wy m"]
    scales: Float64[np.ndarray, "hy wy m"]


def quantise(
    codec: StoredCodec,
    params64: dict,
    y: Float[Array, "b hy wy m"],
    z: Float[np.ndarray, "b hz wz n"],
    canvases: Sequence[Canvas],
) -> Quantised:
    """Rounds the latents of a batch of images that share the size of their canvas.

    Latents outside an image's coded part take the most likely value, symbol 0, here as in the decoder.
    """
    spec = codec.spec
    z_symbols, z_hat = latents.quantise_z(codec, z, canvases)
    scales, means = programs.scales_and_means(spec, params64, z_hat)
    y_symbols = latents.only_coded(latents.rounded(np.asarray(y) - means), canvases, spec.y_stride)
    symbols = []
    for i, canvas in enumerate(canvases):
        hz, wz = canvas.coded_grid(spec.z_stride)
        hy, wy = canvas.coded_grid(spec.y_stride)
        symbols.append(Symbols(z_symbols[i, :hz, :wz], y_symbols[i, :hy, :wy], scales[i, :hy, :wy]))
    return Quantised(y_symbols + means, z_hat, scales, means, symbols)


def write(codec: StoredCodec, symbols: Symbols, precision: str = "float64") -> tuple[list[Section], int]:
    """Sections of one image and the hash of its symbols. Touches no device: safe on any thread.

    With precision "float32" the guard lists every element that a decoder without float64 could misplace.
    """
    z, y, scales = (latents.channel_major(array) for array in symbols)
    sections = [
        latents.write_z(codec, symbols.z),
        Section(SectionType.Y, rans.encode(y, guard.scale_indexes(scales), codec.y_tables)),
    ]
    listed = guard.encode_guard(scales, guard.EPSILON[precision])
    if listed != guard.NOTHING_LISTED:  # almost never: an empty list is left out, seven bytes a file
        sections.append(Section(SectionType.GUARD, listed))
    return sections, symbol_hash([z, y])


def read(
    codec: StoredCodec,
    params64: dict,
    sections: Sequence[Section],
    canvas: Canvas,
    expected_hash: int,
    precision: str = "float64",
) -> Quantised:
    """Latents of one image from its sections.

    Raises:
        StreamError: a section is damaged, or the symbols differ from what the encoder wrote.
    """
    spec = codec.spec
    z_bytes, y_bytes = latents.required(sections, SectionType.Z, SectionType.Y)
    listed = [section.payload for section in sections if section.type == SectionType.GUARD]
    guard_bytes = listed[0] if listed else guard.NOTHING_LISTED
    z_symbols, z_hat = latents.read_z(codec, z_bytes, canvas)
    scales, means = programs.scales_and_means(spec, params64, z_hat)
    hy, wy = canvas.coded_grid(spec.y_stride)
    coded_scales = latents.channel_major(scales[0, :hy, :wy])
    indexes = guard.decode_guard(guard_bytes, coded_scales, guard.EPSILON[precision])
    y = rans.decode(y_bytes, indexes, codec.y_tables, section="Y")
    if symbol_hash([latents.channel_major(z_symbols), y]) != expected_hash:
        raise SymbolMismatch("their hashes differ although no section is damaged")
    y_symbols = latents.from_channel_major(y, (hy, wy, spec.M))
    y_hat = latents.on_canvas(y_symbols, canvas.grid(spec.y_stride))[None] + means
    symbols = [Symbols(z_symbols, y_symbols, scales[0, :hy, :wy])]
    return Quantised(y_hat.astype(np.float32), z_hat, scales, means, symbols)


def symbol_bits(codec: StoredCodec, symbols: Symbols) -> tuple[np.ndarray, np.ndarray]:
    """Bits of every z and y symbol of an image, [hz, wz, n] and [hy, wy, m], from the integer tables."""
    y_bits = latents.table_bits(symbols.y, guard.scale_indexes(symbols.scales), codec.y_tables)
    return latents.z_bits(codec, symbols.z), y_bits
