"""Coding the latents of a mean–scale hyperprior: z by its factorised tables, y by the tables its scales point at.

    y ─► h_a ─► z ─► z symbols ─► [Z]
                      └► z_hat ─► h_s (float64) ─► scales ─► indexes ─► [GUARD]
                                            └► means ─► y symbols ──────► [Y]

Symbols are what the coder sees: round(z - median) and round(y - mean), channel-major, as CompressAI orders them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax import Array
from jaxtyping import Float, Float64, Int32

from icm_jax.bitstream import guard, rans
from icm_jax.bitstream.container import Section, SectionType, symbol_hash
from icm_jax.bitstream.errors import DamagedSection, SymbolMismatch
from icm_jax.bitstream.tables import CdfTables
from icm_jax.canvas import Canvas
from icm_jax.errors import IcmError
from icm_jax.models import programs
from icm_jax.pretrained.store import StoredCodec

SYMBOL_LIMIT = 1 << 24  # float32 latents beyond it have no exact integers, so a network that emits them is broken


class Symbols(NamedTuple):
    """The integers of one image, and the float64 scales that choose the table of every y symbol."""

    z: Int32[np.ndarray, "hz wz n"]
    y: Int32[np.ndarray, "hy wy m"]
    scales: Float64[np.ndarray, "hy wy m"]


class Quantised(NamedTuple):
    """Latents of a batch on the whole canvas, quantised; `scales` decide the tables, `means` the symbols."""

    y_hat: Float[np.ndarray, "b hy wy m"]
    z_hat: Float[np.ndarray, "b hz wz n"]
    scales: Float64[np.ndarray, "b hy wy m"]
    means: Float[np.ndarray, "b hy wy m"]
    symbols: list[Symbols]


def quantise(codec: StoredCodec, params64: dict, y: Float[Array, "b hy wy m"], canvases: Sequence[Canvas]) -> Quantised:
    """Rounds the latents of a batch of images that share the size of their canvas.

    Latents outside an image's coded part take the most likely value, symbol 0, here as in the decoder.
    """
    spec = codec.spec
    z = np.asarray(programs.programs(spec).hyper_analyse(codec.params, y))
    z_symbols = _only_coded(_round(z - _medians(codec)), canvases, spec.z_stride)
    z_hat = z_symbols + _medians(codec)
    scales, means = programs.scales_and_means(spec, params64, z_hat)
    y_symbols = _only_coded(_round(np.asarray(y) - means), canvases, spec.y_stride)
    symbols = []
    for i, canvas in enumerate(canvases):
        hz, wz = canvas.coded_grid(spec.z_stride)
        hy, wy = canvas.coded_grid(spec.y_stride)
        symbols.append(Symbols(z_symbols[i, :hz, :wz], y_symbols[i, :hy, :wy], scales[i, :hy, :wy]))
    return Quantised(y_symbols + means, z_hat, scales, means, symbols)


def write(codec: StoredCodec, symbols: Symbols) -> tuple[list[Section], int]:
    """Sections of one image and the hash of its symbols. Touches no device: safe on any thread."""
    z, y = _channel_major(symbols.z), _channel_major(symbols.y)
    scales = np.moveaxis(symbols.scales, -1, 0).ravel()
    y_bytes = rans.encode(y, guard.scale_indexes(scales), codec.y_tables)
    sections = [
        Section(SectionType.Z, rans.encode(z, _channel_indexes(symbols.z.shape), codec.z_tables)),
        Section(SectionType.Y, y_bytes),
        Section(SectionType.GUARD, guard.encode_guard(scales)),
    ]
    return sections, symbol_hash([z, y])


def read(
    codec: StoredCodec, params64: dict, sections: Sequence[Section], canvas: Canvas, expected_hash: int
) -> Quantised:
    """Latents of one image from its sections.

    Raises:
        StreamError: a section is damaged, or the symbols differ from what the encoder wrote.
    """
    spec = codec.spec
    payload = {section.type: section.payload for section in sections}
    for wanted in (SectionType.Z, SectionType.Y, SectionType.GUARD):
        if wanted not in payload:
            raise DamagedSection(f"the stream has no section {wanted.name}; get the file again from its source")
    z_shape = (*canvas.coded_grid(spec.z_stride), spec.N)
    z = rans.decode(payload[SectionType.Z], _channel_indexes(z_shape), codec.z_tables)
    z_symbols = _from_channel_major(z, z_shape)
    z_hat = _on_canvas(z_symbols, canvas.grid(spec.z_stride)) + _medians(codec)
    scales, means = programs.scales_and_means(spec, params64, z_hat[None])
    hy, wy = canvas.coded_grid(spec.y_stride)
    coded_scales = np.moveaxis(scales[0, :hy, :wy], -1, 0).ravel()
    indexes = guard.decode_guard(payload[SectionType.GUARD], coded_scales)
    y = rans.decode(payload[SectionType.Y], indexes, codec.y_tables)
    if symbol_hash([z, y]) != expected_hash:
        raise SymbolMismatch(
            "the decoded symbols differ from the encoder's although the file is intact: the scale path disagrees "
            "between the two machines; decode with the icm-jax version that wrote the file and report this"
        )
    y_symbols = _from_channel_major(y, (hy, wy, spec.M))
    y_hat = _on_canvas(y_symbols, canvas.grid(spec.y_stride))[None] + means
    symbols = [Symbols(z_symbols, y_symbols, scales[0, :hy, :wy])]
    return Quantised(y_hat.astype(np.float32), z_hat[None], scales, means, symbols)


def table_bits(symbols: np.ndarray, indexes: np.ndarray, tables: CdfTables) -> np.ndarray:
    """Bits each symbol costs under its integer table (-log2 of its count over 2^16; escapes at least 4 more)."""
    position = symbols - tables.offset[indexes]
    escape = tables.length[indexes] - 2
    outside = (position < 0) | (position >= escape)
    position = np.where(outside, escape, position)
    counts = tables.cdf[indexes, position + 1] - tables.cdf[indexes, position]
    return 16.0 - np.log2(counts) + np.where(outside, 8.0, 0.0)


def symbol_bits(codec: StoredCodec, symbols: Symbols) -> tuple[np.ndarray, np.ndarray]:
    """Bits of every z and every y symbol of an image, [hz, wz, n] and [hy, wy, m], from the integer tables."""
    channels = np.broadcast_to(np.arange(symbols.z.shape[-1]), symbols.z.shape)
    return (
        table_bits(symbols.z, channels, codec.z_tables),
        table_bits(symbols.y, guard.scale_indexes(symbols.scales), codec.y_tables),
    )


def _medians(codec: StoredCodec) -> np.ndarray:
    return np.asarray(codec.params["z_prior"]["quantiles"])[:, 0, 1]


def _round(values: np.ndarray) -> np.ndarray:
    rounded = np.round(values)
    if not (np.abs(rounded) < SYMBOL_LIMIT).all():  # False for NaN too
        raise IcmError("the encoder's network gave latents that are not finite; the weights are damaged or diverged")
    return rounded.astype(np.int32)


def _only_coded(symbols: np.ndarray, canvases: Sequence[Canvas], stride: int) -> np.ndarray:
    kept = np.zeros_like(symbols)
    for i, canvas in enumerate(canvases):
        rows, cols = canvas.coded_grid(stride)
        kept[i, :rows, :cols] = symbols[i, :rows, :cols]
    return kept


def _on_canvas(symbols: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    (rows, cols), (h, w) = grid, symbols.shape[:2]
    return np.pad(symbols, ((0, rows - h), (0, cols - w), (0, 0)))


def _channel_major(symbols: np.ndarray) -> np.ndarray:
    return np.moveaxis(symbols, -1, 0).ravel()


def _from_channel_major(flat: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    h, w, c = shape
    return np.moveaxis(flat.reshape(c, h, w), 0, -1)


def _channel_indexes(shape: tuple[int, ...]) -> np.ndarray:
    h, w, c = shape
    return np.repeat(np.arange(c, dtype=np.int32), h * w)
