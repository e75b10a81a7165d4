"""The container gives back what was put in, laid out as documented, and says what is wrong."""

import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icm_jax.bitstream import (
    Alignment,
    DamagedSection,
    Header,
    ImageTooLarge,
    NewerVersion,
    NotAnIcmFile,
    Section,
    SectionType,
    Stream,
    StreamError,
    TruncatedStream,
    pack,
    read_header,
    symbol_hash,
    unpack,
)

HEADER = Header("tic-lite", bytes(range(8)), 768, 512, 768, 512, symbol_hash=0x12345678)
SECTIONS = (
    Section(SectionType.Z, b"hyper"),
    Section(SectionType.GUARD, b"\0"),
    Section(SectionType.Y, b"first step"),
    Section(SectionType.GUARD, b"\0"),
    Section(SectionType.Y, b""),
    Section(SectionType.METADATA, json.dumps({"title": "ä"}).encode()),
)
Z_ONLY = SECTIONS[:1]


def _crc(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(4, "little")


def _header_bytes(
    version: int = 1,
    flags: int = 0,
    size: bytes = b"\x80\x06\x80\x04",
    name: bytes = b"x",
    sections: bytes = b"\0",
) -> bytes:
    """A header written by hand: 768 is 0x80 0x06 as a varint, 512 is 0x80 0x04."""
    identity = bytes([len(name)]) + name + bytes(8)
    return _crc(b"ICM1" + bytes([version, flags]) + identity + size + bytes(4) + sections)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    ids = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
    width, height = draw(st.integers(1, 1 << 13)), draw(st.integers(1, 1 << 13))
    has_adapter = draw(st.booleans())
    return Header(
        codec_id=draw(ids),
        codec_hash=draw(st.binary(min_size=8, max_size=8)),
        width=width,
        height=height,
        padded_width=width + draw(st.integers(0, 300)),
        padded_height=height + draw(st.integers(0, 300)),
        adapter_id=draw(ids) if has_adapter else "",
        adapter_hash=draw(st.binary(min_size=8, max_size=8)) if has_adapter else bytes(8),
        quality=draw(st.integers(0, 1 << 20)),
        alignment=draw(st.sampled_from(Alignment)),
        scale_precision=draw(st.sampled_from(["float64", "float32"])),
        symbol_hash=draw(st.integers(0, (1 << 32) - 1)),
    )


sections = st.lists(st.builds(Section, st.sampled_from(SectionType), st.binary(max_size=300)), max_size=6)


@given(headers(), sections)
@settings(max_examples=200, deadline=None)
def test_round_trip(header: Header, content: list[Section]) -> None:
    data = pack(header, content)
    assert unpack(data) == Stream(header, tuple(content))
    assert read_header(data) == header


def test_layout_of_the_smallest_file() -> None:
    expected = _crc(
        b"ICM1\x01\x00"
        + b"\x08tic-lite" + bytes(range(8))
        + b"\x80\x06\x80\x04"  # 768, 512
        + b"\x78\x56\x34\x12"  # symbol hash
        + b"\x01"  # one section
    ) + _crc(b"\x01\x05hyper")  # fmt: skip
    assert pack(HEADER, Z_ONLY) == expected


def test_layout_with_every_field() -> None:
    header = replace(
        HEADER,
        padded_width=769,
        padded_height=1024,
        adapter_id="det",
        adapter_hash=b"ABCDEFGH",
        quality=3,
        alignment=Alignment.RESIZE256,
        scale_precision="float32",
    )
    expected = _crc(
        b"ICM1\x01\x2f"  # adapter, padding, quality, float32, alignment 2
        + b"\x08tic-lite" + bytes(range(8))
        + b"\x03detABCDEFGH"
        + b"\x80\x06\x80\x04"
        + b"\x01\x80\x04"  # 1 column, 512 rows
        + b"\x03"
        + b"\x78\x56\x34\x12"
        + b"\x00"
    )  # fmt: skip
    assert pack(header, []) == expected
    assert read_header(expected) == header


@pytest.mark.parametrize("length", [0, 127, 128, 16383, 2_000_000])
def test_few_bytes_go_to_the_frame(length: int) -> None:
    payload = b"p" * length
    data = pack(HEADER, [Section(SectionType.Z, payload)])
    assert len(data) - len(pack(HEADER, [])) - length <= 8
    if length:
        assert data.index(payload) <= 40


def test_payloads_keep_their_order() -> None:
    stream = unpack(pack(HEADER, SECTIONS))
    assert stream.payloads(SectionType.Y) == [b"first step", b""]
    assert stream.payloads(SectionType.GUARD) == [b"\0", b"\0"]
    assert json.loads(stream.payloads(SectionType.METADATA)[0]) == {"title": "ä"}


def test_every_truncation_is_noticed() -> None:
    data = pack(HEADER, SECTIONS)
    for length in range(1, len(data)):
        with pytest.raises(TruncatedStream):
            unpack(data[:length])
    with pytest.raises(NotAnIcmFile):
        unpack(b"")


def test_truncation_names_the_section() -> None:
    data = pack(HEADER, SECTIONS)
    with pytest.raises(TruncatedStream, match="section header"):
        unpack(data[:20])
    with pytest.raises(TruncatedStream, match="section METADATA"):
        unpack(data[:-1])
    with pytest.raises(TruncatedStream, match="section 2 of 6"):
        unpack(data[: len(pack(HEADER, Z_ONLY))])


def test_every_flipped_bit_is_noticed() -> None:
    data = pack(replace(HEADER, adapter_id="det", padded_width=1024, quality=5), SECTIONS)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StreamError):
            unpack(bytes(damaged))


def test_damage_names_the_section() -> None:
    data = pack(HEADER, SECTIONS)
    place = data.index(b"first step")
    with pytest.raises(DamagedSection, match="section Y: the checksum"):
        unpack(data[:place] + b"F" + data[place + 1 :])


@given(st.binary(max_size=120))
@settings(max_examples=300, deadline=None)
def test_noise_is_refused(noise: bytes) -> None:
    for data in (noise, b"ICM1\x01" + noise):
        with pytest.raises(StreamError):
            unpack(data)


@given(st.binary(max_size=40))
@settings(max_examples=300, deadline=None)
def test_noise_under_a_good_checksum_is_parsed_or_refused(noise: bytes) -> None:
    for data in (_crc(b"ICM1\x01" + noise), _header_bytes(sections=b"\x01") + _crc(noise)):
        try:
            assert isinstance(unpack(data), Stream)
        except StreamError as error:
            assert "\n" not in str(error)


def test_other_files() -> None:
    for data in (b"\x89PNG\r\n\x1a\n", b"ICM", b"ICM2" + bytes(60), b"\xff"):
        with pytest.raises((NotAnIcmFile, TruncatedStream)):
            unpack(data)
    with pytest.raises(NotAnIcmFile, match="PNG"):
        read_header(b"\x89PNG\r\n\x1a\n")


def test_newer_version_is_refused_before_anything_else() -> None:
    with pytest.raises(NewerVersion, match="version 2"):
        unpack(b"ICM1\x02 whatever a later format needs")


def test_older_version_and_unknown_flags_are_refused() -> None:
    for data in (_header_bytes(version=0), _header_bytes(flags=0x40), _header_bytes(flags=0x30)):
        with pytest.raises(DamagedSection, match="section header: version"):
            unpack(data)


def test_unknown_sections_are_skipped_but_checked() -> None:
    unknown = _crc(b"\x63\x03new")
    data = _header_bytes(sections=b"\x03") + unknown + _crc(b"\x01\x02zz") + unknown
    assert unpack(data).sections == (Section(SectionType.Z, b"zz"),)
    with pytest.raises(DamagedSection, match="of type 99"):
        unpack(data.replace(b"new", b"old"))


def test_a_tiny_file_can_not_ask_for_much() -> None:
    side = b"\x80\x80\x40"  # 2^20
    bomb = _header_bytes(size=side + side, name=b"a codec of some name", sections=b"\x01") + _crc(b"\x01\x00")
    assert len(bomb) <= 60
    with pytest.raises(ImageTooLarge, match="1099511627776 pixels"):
        unpack(bomb)
    assert read_header(bomb).width == 1 << 20
    long = _header_bytes(sections=b"\x01") + b"\x01\xff\xff\xff\xff\x7f"  # a section of 2^35 - 1 bytes
    with pytest.raises(TruncatedStream, match="section Z: 34359738367 more bytes"):
        unpack(long)
    with pytest.raises(DamagedSection, match="sections exceed"):
        unpack(_header_bytes(sections=b"\xff\xff\xff\xff\x7f"))


def test_limit_holds_for_true_and_padded_size() -> None:
    data = pack(replace(HEADER, padded_width=1024), [])
    unpack(data, max_pixels=1024 * 512)
    with pytest.raises(ImageTooLarge, match="1024x512"):
        unpack(data, max_pixels=1024 * 512 - 1)
    with pytest.raises(ImageTooLarge, match="768x512"):
        unpack(data, max_pixels=768 * 512 - 1)


def test_empty_image_is_refused() -> None:
    for size in (b"\x00\x01", b"\x01\x00"):
        with pytest.raises(DamagedSection, match="the image is"):
            unpack(_header_bytes(size=size))


def test_bad_ids_are_refused() -> None:
    for name in (b"", b"n" * 33, b"\xff\xfe", b"a\x1b[2J"):
        with pytest.raises(DamagedSection, match="an id"):
            unpack(_header_bytes(name=name))


def test_bytes_after_the_last_section_are_refused() -> None:
    with pytest.raises(DamagedSection, match="1 bytes are left over"):
        unpack(pack(HEADER, SECTIONS) + b"\0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "sizes must be positive"),
        ({"padded_height": 511}, "padding can only enlarge"),
        ({"width": 1 << 36, "padded_width": 1 << 36}, "range of a varint"),
        ({"quality": -1}, "range of a varint"),
        ({"codec_id": ""}, "codec id"),
        ({"codec_id": "ü" * 17}, "codec id"),
        ({"adapter_id": "a\nb"}, "adapter id"),
        ({"codec_hash": b"short"}, "codec hash has 5 bytes"),
        ({"adapter_hash": b"ABCDEFGH"}, "both or neither"),
        ({"alignment": 3}, "Alignment"),
    ],
)
def test_headers_no_reader_would_take(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack(replace(HEADER, **changes), [])


def test_too_many_sections() -> None:
    with pytest.raises(ValueError, match="1025 sections"):
        pack(HEADER, Z_ONLY * 1025)


def test_symbol_hash_is_the_crc_of_little_endian_int32() -> None:
    z, y = np.arange(-3, 3, dtype=np.int32), np.array([[1, -1], [2, 1 << 20]], np.int32)
    expected = zlib.crc32(np.concatenate([z, y.ravel()]).astype("<i4").tobytes())
    assert symbol_hash([z, y]) == expected
    assert symbol_hash([z, y.T]) != expected
    assert symbol_hash([y, z]) != expected
    assert symbol_hash([]) == symbol_hash([np.zeros((0, 3), np.int32)]) == 0
    with pytest.raises(ValueError, match="int32"):
        symbol_hash([z.astype(np.int64)])
