"""The header of an `.icm` file: which codec, which adapter, which image. Specified in docs/format.md."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from icm_jax.bitstream.errors import DamagedSection, NewerVersion, NotAnIcmFile
from icm_jax.bitstream.wire import Cursor, varint, with_crc

MAGIC = b"ICM1"
VERSION = 1
HASH_BYTES = 8
MAX_ID_BYTES = 32
MAX_SECTIONS = 1 << 10

NO_HASH = bytes(HASH_BYTES)

# Flags. An optional field is present only if its flag is set.
HAS_ADAPTER = 1 << 0
HAS_PADDING = 1 << 1
HAS_QUALITY = 1 << 2
IS_FLOAT32 = 1 << 3
ALIGNMENT_SHIFT = 4
RESERVED = 3 << 6


class Alignment(IntEnum):
    """How the image was brought to the padded size."""

    GRID = 0
    PAD256 = 1
    RESIZE256 = 2


@dataclass(frozen=True)
class Header:
    """Everything a decoder must know before the first symbol. Sizes in pixels."""

    codec_id: str
    codec_hash: bytes  # 8 bytes, of base weights and tables
    width: int
    height: int
    padded_width: int  # what the codec saw, at least the true size
    padded_height: int
    adapter_id: str = ""  # empty: the human codec
    adapter_hash: bytes = NO_HASH
    quality: int = 0
    alignment: int = Alignment.GRID
    scale_precision: Literal["float64", "float32"] = "float64"
    symbol_hash: int = 0  # uint32, see `container.symbol_hash`


def pack_header(header: Header, section_count: int) -> bytes:
    """The header's bytes with their checksum.

    Raises:
        ValueError: a field out of range.
    """
    if section_count > MAX_SECTIONS:
        raise ValueError(f"{section_count} sections exceed the limit of {MAX_SECTIONS}")
    padding = (header.padded_width - header.width, header.padded_height - header.height)
    if min(header.width, header.height) < 1 or min(padding) < 0:
        raise ValueError(
            f"image {header.width}x{header.height}, padded {header.padded_width}x{header.padded_height}: "
            "sizes must be positive and padding can only enlarge"
        )
    if not header.adapter_id and header.adapter_hash != NO_HASH:
        raise ValueError(f"adapter hash {header.adapter_hash.hex()} has no adapter id; give both or neither")
    flags = (
        HAS_ADAPTER * bool(header.adapter_id)
        | HAS_PADDING * any(padding)
        | HAS_QUALITY * bool(header.quality)
        | IS_FLOAT32 * (header.scale_precision == "float32")
        | Alignment(header.alignment) << ALIGNMENT_SHIFT
    )
    packed = MAGIC + bytes([VERSION, flags]) + _pack_identity("codec", header.codec_id, header.codec_hash)
    if flags & HAS_ADAPTER:
        packed += _pack_identity("adapter", header.adapter_id, header.adapter_hash)
    packed += varint(header.width) + varint(header.height)
    if flags & HAS_PADDING:
        packed += varint(padding[0]) + varint(padding[1])
    if flags & HAS_QUALITY:
        packed += varint(header.quality)
    return with_crc(packed + header.symbol_hash.to_bytes(4, "little") + varint(section_count))


def unpack_header(cursor: Cursor) -> tuple[Header, int]:
    """The header at the start of a file, and the number of sections that follow it.

    Raises:
        NotAnIcmFile, NewerVersion, TruncatedStream, DamagedSection: what they say.
    """
    start = bytes(cursor.data[: len(MAGIC)])
    if not start or not MAGIC.startswith(start):
        raise NotAnIcmFile(start)
    cursor.take(len(MAGIC))
    version = cursor.byte()
    if version > VERSION:
        raise NewerVersion(version, VERSION)
    flags = cursor.byte()
    codec_id, codec_hash = _unpack_identity(cursor)
    adapter_id, adapter_hash = _unpack_identity(cursor) if flags & HAS_ADAPTER else ("", NO_HASH)
    width, height = cursor.varint(), cursor.varint()
    padding = (cursor.varint(), cursor.varint()) if flags & HAS_PADDING else (0, 0)
    quality = cursor.varint() if flags & HAS_QUALITY else 0
    symbols = cursor.uint32()
    section_count = cursor.varint()
    cursor.check_crc(0)
    alignment = flags >> ALIGNMENT_SHIFT & 3
    if version != VERSION or flags & RESERVED or alignment not in list(Alignment):
        raise DamagedSection(cursor.section, f"version {version} has no flags 0x{flags:02x}")
    if not width or not height:
        raise DamagedSection(cursor.section, f"the image is {width}x{height}")
    if section_count > MAX_SECTIONS:
        raise DamagedSection(cursor.section, f"{section_count} sections exceed the limit of {MAX_SECTIONS}")
    header = Header(
        codec_id=codec_id,
        codec_hash=codec_hash,
        width=width,
        height=height,
        padded_width=width + padding[0],
        padded_height=height + padding[1],
        adapter_id=adapter_id,
        adapter_hash=adapter_hash,
        quality=quality,
        alignment=Alignment(alignment),
        scale_precision="float32" if flags & IS_FLOAT32 else "float64",
        symbol_hash=symbols,
    )
    return header, section_count


def _pack_identity(kind: str, name: str, digest: bytes) -> bytes:
    encoded = name.encode()
    if not 0 < len(encoded) <= MAX_ID_BYTES or not name.isprintable():
        raise ValueError(f"{kind} id {name!r} must be 1 to {MAX_ID_BYTES} bytes of printable text")
    if len(digest) != HASH_BYTES:
        raise ValueError(f"{kind} hash has {len(digest)} bytes instead of {HASH_BYTES}")
    return varint(len(encoded)) + encoded + digest


def _unpack_identity(cursor: Cursor) -> tuple[str, bytes]:
    length = cursor.varint()
    if not 0 < length <= MAX_ID_BYTES:
        raise DamagedSection(cursor.section, f"an id has {length} bytes, allowed are 1 to {MAX_ID_BYTES}")
    try:
        name = cursor.take(length).decode()
    except UnicodeDecodeError:
        raise DamagedSection(cursor.section, "an id is not UTF-8") from None
    if not name.isprintable():  # it goes into messages: no control characters on a terminal
        raise DamagedSection(cursor.section, "an id is not printable")
    return name, cursor.take(HASH_BYTES)
