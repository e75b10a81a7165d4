"""Symbols <-> bytes: rANS coder, agreement on table indexes, `.icm` container. Knows neither JAX nor models.

scales ── guard ──► indexes ┐
symbols ────────────────────┴─► rans ──► sections ──► container ──► file.icm
"""

from icm_jax.bitstream.container import (
    Alignment,
    Header,
    Section,
    SectionType,
    Stream,
    pack,
    read_header,
    symbol_hash,
    unpack,
)
from icm_jax.bitstream.errors import (
    DamagedSection,
    ImageTooLarge,
    NewerVersion,
    NotAnIcmFile,
    StreamError,
    SymbolMismatch,
    TruncatedStream,
    WrongAdapter,
    WrongCodec,
)
from icm_jax.bitstream.guard import (
    EPSILON,
    ambiguous,
    decode_guard,
    encode_guard,
    scale_indexes,
    scale_table,
)
from icm_jax.bitstream.rans import Decoder, decode, encode
from icm_jax.bitstream.tables import CdfTables, validate

__all__ = [
    "EPSILON",
    "Alignment",
    "CdfTables",
    "DamagedSection",
    "Decoder",
    "Header",
    "ImageTooLarge",
    "NewerVersion",
    "NotAnIcmFile",
    "Section",
    "SectionType",
    "Stream",
    "StreamError",
    "SymbolMismatch",
    "TruncatedStream",
    "WrongAdapter",
    "WrongCodec",
    "ambiguous",
    "decode",
    "decode_guard",
    "encode",
    "encode_guard",
    "pack",
    "read_header",
    "scale_indexes",
    "scale_table",
    "symbol_hash",
    "unpack",
    "validate",
]
