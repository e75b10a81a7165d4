"""Primitives of the file format: varints, checksums, and a cursor that never reads past the end.

A varint is LEB128 in its shortest form: seven bits a byte, lowest first, the top bit set on all but the last.
A checksum is the CRC-32 of zlib, four bytes, little-endian.
"""

import zlib

from icm_jax.bitstream.errors import DamagedSection, TruncatedStream

MAX_VARINT_BYTES = 5
VARINT_LIMIT = 1 << (7 * MAX_VARINT_BYTES)
CRC_BYTES = 4


def varint(value: int) -> bytes:
    """The shortest encoding of 0 <= value < 2^35.

    Raises:
        ValueError: value out of range.
    """
    if not 0 <= value < VARINT_LIMIT:
        raise ValueError(f"{value} is outside 0..2^35-1, the range of a varint")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def with_crc(data: bytes) -> bytes:
    """The data with its checksum behind it."""
    return data + zlib.crc32(data).to_bytes(CRC_BYTES, "little")


class Cursor:
    """Reads forward through bytes; its errors name the section that is being read."""

    def __init__(self, data: bytes, section: str) -> None:
        self.data = data
        self.section = section
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            TruncatedStream: fewer are left. Nothing is copied in that case.
        """
        if count > self.left:
            raise TruncatedStream(self.section, count, self.left)
        start = self.position
        self.position += count
        return bytes(self.data[start : self.position])

    def byte(self) -> int:
        """The next byte as a number."""
        return self.take(1)[0]

    def uint32(self) -> int:
        """The next four bytes, little-endian."""
        return int.from_bytes(self.take(4), "little")

    def varint(self) -> int:
        """The next varint.

        Raises:
            DamagedSection: longer than five bytes, or not in its shortest form.
        """
        value = 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    raise DamagedSection(self.section, "a varint is padded")
                return value
        raise DamagedSection(self.section, f"a varint is longer than {MAX_VARINT_BYTES} bytes")

    def check_crc(self, start: int) -> None:
        """Reads the checksum of everything from `start` to here.

        Raises:
            DamagedSection: it does not match.
        """
        expected = zlib.crc32(self.data[start : self.position])
        if self.uint32() != expected:
            raise DamagedSection(self.section, "the checksum does not match")
