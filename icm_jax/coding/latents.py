"""What the codings share: rounding, which latents are coded, their order, and the section of z.

z is coded alike everywhere: round(z - median), channel-major, one integer table a channel.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int32

from icm_jax.bitstream import rans
from icm_jax.bitstream.container import Section, SectionType
from icm_jax.bitstream.errors import DamagedSection
from icm_jax.bitstream.tables import CdfTables
from icm_jax.canvas import Canvas
from icm_jax.errors import IcmError
from icm_jax.pretrained.store import StoredCodec

SYMBOL_LIMIT = (
    1 << 24
)  # float32 latents beyond it have no exact integers, so a network that emits them is broken


class Quantised(NamedTuple):
    """Latents of a batch on the whole canvas, quantised; `scales` decide the tables, `means` the symbols.

    `symbols` has an entry an image, of the coding's own kind: what its `write` takes.
    """

    y_hat: Float[np.ndarray, "b hy wy m"]
    z_hat: Float[np.ndarray, "b hz wz n"]
    scales: Float64[np.ndarray, "b hy wy m"]
    means: Float[np.ndarray, "b hy wy m"]
    symbols: list[Any]


def quantise_z(
    codec: StoredCodec, z: Float[np.ndarray, "b hz wz n"], canvases: Sequence[Canvas]
) -> tuple[Int32[np.ndarray, "b hz wz n"], Float[np.ndarray, "b hz wz n"]]:
    """Symbols of z and z_hat of a batch; what no image covers has symbol 0."""
    symbols = only_coded(rounded(z - medians(codec)), canvases, codec.spec.z_stride)
    return symbols, symbols + medians(codec)


def write_z(codec: StoredCodec, z: Int32[np.ndarray, "hz wz n"]) -> Section:
    """The section of z."""
    return Section(SectionType.Z, rans.encode(channel_major(z), channel_indexes(z.shape), codec.z_tables))


def read_z(
    codec: StoredCodec, payload: bytes, canvas: Canvas
) -> tuple[Int32[np.ndarray, "hz wz n"], Float[np.ndarray, "1 hz wz n"]]:
    """Symbols of the coded part of z, and z_hat on the whole canvas as a batch of one.

    Raises:
        StreamError: the section is damaged.
    """
    spec = codec.spec
    shape = (*canvas.coded_grid(spec.z_stride), spec.N)
    flat = rans.decode(payload, channel_indexes(shape), codec.z_tables, section="Z")
    symbols = from_channel_major(flat, shape)
    return symbols, (on_canvas(symbols, canvas.grid(spec.z_stride)) + medians(codec))[None]


def required(sections: Sequence[Section], *types: SectionType) -> list[bytes]:
    """Payloads of the sections a coding can not do without.

    Raises:
        DamagedSection: one is missing, or there more than once.
    """
    payloads = []
    for wanted in types:
        found = [section.payload for section in sections if section.type is wanted]
        if len(found) != 1:
            count = f"{len(found)} times, not once" if found else "not at all"
            raise DamagedSection(wanted.name, f"the stream has it {count}")
        payloads.append(found[0])
    return payloads


def rounded(values: np.ndarray) -> Int32[np.ndarray, "..."]:
    """Nearest integers, half to even.

    Raises:
        IcmError: a value is not finite or absurdly large.
    """
    nearest = np.round(values)
    if not (np.abs(nearest) < SYMBOL_LIMIT).all():  # False for NaN too
        raise IcmError(
            "the encoder's network gave latents that are not finite; the weights are damaged or diverged"
        )
    return nearest.astype(np.int32)


def only_coded(symbols: np.ndarray, canvases: Sequence[Canvas], stride: int) -> np.ndarray:
    """Symbols of a batch with 0, the most likely value, wherever the image does not reach."""
    kept = np.zeros_like(symbols)
    for i, canvas in enumerate(canvases):
        rows, cols = canvas.coded_grid(stride)
        kept[i, :rows, :cols] = symbols[i, :rows, :cols]
    return kept


def on_canvas(symbols: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The coded part of one image, with zeros up to the size of the canvas."""
    (rows, cols), (h, w) = grid, symbols.shape[:2]
    return np.pad(symbols, ((0, rows - h), (0, cols - w), (0, 0)))


def channel_major(symbols: np.ndarray) -> np.ndarray:
    """[h, w, c] -> flat, channel after channel, as CompressAI orders symbols."""
    return np.moveaxis(symbols, -1, 0).ravel()


def from_channel_major(flat: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Inverse of `channel_major`."""
    h, w, c = shape
    return np.moveaxis(flat.reshape(c, h, w), 0, -1)


def channel_indexes(shape: tuple[int, ...]) -> Int32[np.ndarray, "hwc"]:
    """Table of every symbol in channel-major order when there is one a channel."""
    h, w, c = shape
    return np.repeat(np.arange(c, dtype=np.int32), h * w)


def table_bits(symbols: np.ndarray, indexes: np.ndarray, tables: CdfTables) -> np.ndarray:
    """Bits each symbol costs under its integer table (-log2 of its count over 2^16; an escape 8 more)."""
    position = symbols - tables.offset[indexes]
    escape = tables.length[indexes] - 2
    outside = (position < 0) | (position >= escape)
    position = np.where(outside, escape, position)
    counts = tables.cdf[indexes, position + 1] - tables.cdf[indexes, position]
    return 16.0 - np.log2(counts) + np.where(outside, 8.0, 0.0)


def z_bits(codec: StoredCodec, z: Int32[np.ndarray, "hz wz n"]) -> Float64[np.ndarray, "hz wz n"]:
    """Bits of every z symbol from the integer tables."""
    return table_bits(z, np.broadcast_to(np.arange(z.shape[-1]), z.shape), codec.z_tables)


def medians(codec: StoredCodec) -> np.ndarray:
    """What latents under the factorised prior are rounded around: 0 under a prior without quantiles."""
    quantiles = codec.params["z_prior"].get("quantiles", np.zeros((1, 1, 3), np.float32))
    return np.asarray(quantiles)[:, 0, 1]
