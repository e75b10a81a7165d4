"""The `.icm` container, version 1: a header, then typed sections. Specified in docs/format.md.

    magic version flags | codec, adapter, sizes, quality, symbol hash, section count | CRC-32
    type length payload CRC-32   (once a section)

A reader checks every length against what is left before it takes memory, and the pixel count before anything
is decoded.
"""

import zlib
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from icm_jax.bitstream.errors import DamagedSection, ImageTooLarge
from icm_jax.bitstream.header import Alignment, Header, pack_header, unpack_header
from icm_jax.bitstream.wire import Cursor, varint, with_crc

__all__ = [
    "Alignment",
    "Header",
    "Section",
    "SectionType",
    "Stream",
    "pack",
    "read_header",
    "symbol_hash",
    "unpack",
]

MAX_PIXELS = 1 << 28


class SectionType(IntEnum):
    """What a section holds. Y and GUARD occur once a step of the prior, in the order of the steps."""

    Z = 1
    Y = 2
    GUARD = 3
    METADATA = 4  # UTF-8 JSON


class Section(NamedTuple):
    """One typed piece of the payload."""

    type: SectionType
    payload: bytes


class Stream(NamedTuple):
    """A parsed file. Sections of unknown type are left out."""

    header: Header
    sections: tuple[Section, ...]

    def payloads(self, section_type: SectionType) -> list[bytes]:
        """The payloads of one type, in file order."""
        return [section.payload for section in self.sections if section.type == section_type]


def pack(header: Header, sections: Sequence[Section]) -> bytes:
    """The complete file.

    Raises:
        ValueError: a header field out of range, or too many sections.
    """
    packed = [pack_header(header, len(sections))]
    packed += [with_crc(bytes([kind]) + varint(len(payload)) + payload) for kind, payload in sections]
    return b"".join(packed)


def unpack(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Stream:
    """Parses and checks a whole file.

    Args:
        data: all bytes of the file.
        max_pixels: limit on width · height, of the image and of the padded image.

    Raises:
        StreamError: one of its subclasses, each says what to do.
    """
    cursor = Cursor(data, "header")
    header, count = unpack_header(cursor)
    for width, height in ((header.width, header.height), (header.padded_width, header.padded_height)):
        if width * height > max_pixels:
            raise ImageTooLarge(width, height, max_pixels)
    sections = []
    for number in range(1, count + 1):
        cursor.section = f"{number} of {count}"
        section = _unpack_section(cursor)
        if section is not None:
            sections.append(section)
    if cursor.left:
        raise DamagedSection("end", f"{cursor.left} bytes are left over behind the last section")
    return Stream(header, tuple(sections))


def read_header(data: bytes) -> Header:
    """The header alone, from a file or its first bytes. The size of the image is not held against a limit.

    Raises:
        StreamError: as for `unpack`.
    """
    return unpack_header(Cursor(data, "header"))[0]


def symbol_hash(arrays: Sequence[NDArray[np.int32]]) -> int:
    """CRC-32 over the little-endian int32 bytes of all arrays in turn, each in C order: a uint32.

    Raises:
        ValueError: an array is not int32.
    """
    crc = 0
    for array in arrays:
        if array.dtype != np.int32:
            raise ValueError(f"symbols must be int32, got {array.dtype}; use .astype(np.int32)")
        crc = zlib.crc32(np.ascontiguousarray(array, "<i4").tobytes(), crc)
    return crc


def _unpack_section(cursor: Cursor) -> Section | None:
    """The next section, or None if its type is unknown; the checksum must match all the same."""
    start = cursor.position
    number = cursor.byte()
    known = number in list(SectionType)
    cursor.section = SectionType(number).name if known else f"of type {number}"
    payload = cursor.take(cursor.varint())
    cursor.check_crc(start)
    return Section(SectionType(number), payload) if known else None
