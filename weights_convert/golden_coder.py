"""Golden checks of what the entropy coder works with: tables, indexes, symbols and byte strings.

Everything here is an integer and has to be equal, with one exception: a symbol may differ where its value is
so near to a rounding boundary that float32 arithmetic can not tell the sides apart.
"""

import re
from collections.abc import Mapping

import numpy as np

from icm_jax.bitstream import rans
from icm_jax.bitstream.errors import StreamError
from icm_jax.bitstream.tables import CdfTables
from icm_jax.entropy import tables
from weights_convert.golden_file import EXACT, GoldenFile

ROUNDING_MARGIN = 1e-4  # nearer to k + 1/2 than this, both roundings are accepted


def rounding_margin(offset: np.ndarray) -> np.ndarray:
    """Distance of every element to the nearest boundary k + 1/2."""
    return np.abs(offset - np.floor(offset) - 0.5)


def check_symbols(file: GoldenFile, name: str, offset: np.ndarray) -> None:
    """Integer symbols of the file against the rounding of `offset` = latent - centre [b, h, w, c]."""
    if name not in file:
        return
    theirs, ours = file.read_map(name), np.round(offset)
    near = rounding_margin(offset) < ROUNDING_MARGIN
    wrong = int(np.sum((theirs != ours) & ~near))
    tolerated = int(np.sum((theirs != ours) & near))
    file.require(name, wrong == 0, f"{wrong} symbols differ, {tolerated} more within the rounding margin")


def check_tables(file: GoldenFile, z_prior: Mapping[str, np.ndarray]) -> None:
    """Integer tables of both priors, whole or by rows."""
    factorized = tables.factorized_tables(z_prior)
    gaussian = tables.gaussian_tables()
    file.compare("gc_scale_table", tables.default_scale_table(), EXACT)
    for prefix, ours in (("eb", factorized), ("gc", gaussian)):
        file.compare(f"{prefix}_quantized_cdf", ours.cdf, EXACT)
        file.compare(f"{prefix}_cdf_length", ours.length, EXACT)
        file.compare(f"{prefix}_offset", ours.offset, EXACT)
        for match in list(file.matching(rf"{prefix}_quantized_cdf_row(\d+)(?:_first(\d+))?")):
            end = int(match[2]) if match[2] else None
            file.compare(match[0], ours.cdf[int(match[1]), :end], EXACT)


def check_streams(file: GoldenFile, z_prior: Mapping[str, np.ndarray]) -> None:
    """Byte strings of every image, encoded from the file's symbols and decoded back."""
    if any(re.fullmatch(r"bitstream_y_\d+", name) for name in file.arrays):
        _check_streams(file, "y", file.read("gc_indexes"), tables.gaussian_tables())
    if any(re.fullmatch(r"bitstream_z_\d+", name) for name in file.arrays):
        channels = np.arange(file.read("z_symbols").shape[1])[None, :, None, None]
        indexes = np.broadcast_to(channels, file.read("z_symbols").shape)
        _check_streams(file, "z", indexes, tables.factorized_tables(z_prior))


def _check_streams(file: GoldenFile, latent: str, indexes: np.ndarray, cdf_tables: CdfTables) -> None:
    for match in list(file.matching(rf"bitstream_{latent}_(\d+)")):
        image = int(match[1])
        stream = file.read(match[0]).tobytes()
        # Channel-major order, as the reference flattens [c, h, w].
        symbols = file.read(f"{latent}_symbols")[image].reshape(-1).astype(np.int32)
        index = indexes[image].reshape(-1).astype(np.int32)
        try:
            same_bytes = rans.encode(symbols, index, cdf_tables) == stream
            same_symbols = np.array_equal(rans.decode(stream, index, cdf_tables), symbols)
        except (StreamError, ValueError) as error:
            file.require(match[0], False, str(error))
            continue
        note = f"{len(stream)} bytes: encoding {_verdict(same_bytes)}, decoding {_verdict(same_symbols)}"
        file.require(match[0], same_bytes and same_symbols, note)


def _verdict(same: bool) -> str:
    return "equal" if same else "DIFFERS"
