"""Bitmap updates and surface commands, read by the layouts of the specification."""

import struct
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sidecar.encode.encoders import encode
from sidecar.encode.form import Codec, Form, Segment
from sidecar.encode.rdp_colours import COLOURS
from sidecar.rdp import share_data
from sidecar.rdp.bitmap_update import OVERHEAD, update_payloads
from sidecar.rdp.errors import LocalError
from sidecar.rdp.fast_path import MAX_FRAGMENT
from sidecar.rdp.surface_commands import frame_begin, frame_end, surface_bits
from sidecar.screen.rectangle import Rectangle

Picture = NDArray[np.uint32]


@dataclass(frozen=True)
class Bitmap:
    """One TS_BITMAP_DATA."""

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int
    bits_per_pixel: int
    flags: int
    compression_header: tuple[int, ...]
    data: bytes


def read(payload: bytes) -> list[Bitmap]:
    """MS-RDPBCGR 2.2.9.1.1.3.1.2."""
    kind, count = struct.unpack_from("<HH", payload)
    assert kind == 1
    bitmaps, at = [], 4
    for _ in range(count):
        *fields, length = struct.unpack_from("<9H", payload, at)
        at += 18
        flags, inner = fields[7], ()
        data = payload[at : at + length]
        assert len(data) == length
        at += length
        if flags & 1 and not flags & 0x400:
            inner, data = struct.unpack_from("<4H", data), data[8:]
            assert inner[1] == len(data)
        bitmaps.append(Bitmap(*fields, inner, data))
    assert at == len(payload)
    return bitmaps


def raw(x: int, y: int, width: int, height: int, depth: int = 32) -> tuple[Segment, Picture]:
    pixels = np.random.default_rng(x + 7 * y).integers(0, 1 << 24, (height, width), np.uint32)
    return encode(Rectangle(x, y, width, height), pixels, Form(Codec.BITMAP_RAW, COLOURS[depth])), pixels


def compressed(codec: Codec, size: int = 100) -> Segment:
    return Segment(Rectangle(3, 5, 61, 64), codec, bytes(range(256)) * (size // 256) + bytes(size % 256))


def drawn(payloads: list[bytes], width: int, height: int) -> Picture:
    """What uncompressed bitmaps of 32 bits per pixel leave on a screen."""
    screen = np.zeros((height, width), np.uint32)
    for payload in payloads:
        for bitmap in read(payload):
            assert (bitmap.flags, bitmap.bits_per_pixel) == (0, 32)
            assert len(bitmap.data) == 4 * bitmap.width * bitmap.height
            assert bitmap.height == bitmap.bottom - bitmap.top + 1
            assert 0 <= bitmap.width - (bitmap.right - bitmap.left + 1) < 4
            rows = np.frombuffer(bitmap.data, "<u4").reshape(bitmap.height, bitmap.width)
            for number, row in enumerate(rows):
                y = bitmap.bottom - number
                screen[y, bitmap.left : bitmap.right + 1] = row[: bitmap.right - bitmap.left + 1]
    return screen


@pytest.mark.parametrize("max_size", [MAX_FRAGMENT, share_data.MAX_PAYLOAD, 1000, OVERHEAD + 4 * 64, 1 << 20])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (61, 64), (1, 1), (3, 37), (64, 1)])
def test_raw_pixels_arrive_where_they_belong_however_little_fits(
    width: int, height: int, max_size: int
) -> None:
    segment, pixels = raw(10, 20, width, height)
    payloads = update_payloads([segment], bits_per_pixel=32, max_size=max_size)
    assert all(len(payload) <= max_size for payload in payloads)
    screen = drawn(payloads, 100, 100)
    assert (screen[20 : 20 + height, 10 : 10 + width] == pixels).all()
    screen[20 : 20 + height, 10 : 10 + width] = 0
    assert not screen.any()


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 64), st.integers(1, 64)),
        max_size=6,
        unique_by=lambda each: each[:2],
    ),
    st.integers(OVERHEAD + 4 * 64, 40000),
)
def test_any_tiles_arrive_whatever_fits(tiles: list[tuple[int, int, int, int]], max_size: int) -> None:
    expected = np.zeros((256, 256), np.uint32)
    segments = []
    for column, row, width, height in tiles:
        segment, pixels = raw(64 * column, 64 * row, width, height)
        expected[64 * row : 64 * row + height, 64 * column : 64 * column + width] = pixels
        segments.append(segment)
    payloads = update_payloads(segments, bits_per_pixel=32, max_size=max_size)
    assert all(len(payload) <= max_size for payload in payloads)
    assert (drawn(payloads, 256, 256) == expected).all()


@pytest.mark.parametrize(("depth", "size"), [(15, 2), (16, 2), (24, 3), (32, 4)])
def test_raw_rows_of_every_depth_are_cut_between_pixels(depth: int, size: int) -> None:
    segment, _ = raw(0, 0, 63, 64, depth)
    bitmaps = [
        bitmap
        for payload in update_payloads([segment], bits_per_pixel=depth, max_size=5000)
        for bitmap in read(payload)
    ]
    assert b"".join(bitmap.data for bitmap in bitmaps) == segment.body
    assert all(len(bitmap.data) == size * 64 * bitmap.height for bitmap in bitmaps)
    assert {bitmap.bits_per_pixel for bitmap in bitmaps} == {depth}
    assert sum(bitmap.height for bitmap in bitmaps) == 64


@pytest.mark.parametrize(
    ("codec", "said", "depth"),
    [
        (Codec.BITMAP_PLANAR, 32, 32),
        (Codec.BITMAP_PLANAR, 16, 32),
        (Codec.BITMAP_INTERLEAVED, 15, 15),
        (Codec.BITMAP_INTERLEAVED, 16, 16),
        (Codec.BITMAP_INTERLEAVED, 24, 24),
    ],
)
def test_compressed_bitmaps_with_and_without_their_header(codec: Codec, said: int, depth: int) -> None:
    segment = compressed(codec)
    (payload,) = update_payloads([segment], bits_per_pixel=said, max_size=MAX_FRAGMENT)
    assert read(payload) == [Bitmap(3, 5, 63, 68, 64, 64, depth, 0x401, (), segment.body)]
    (payload,) = update_payloads(
        [segment], bits_per_pixel=said, max_size=MAX_FRAGMENT, compression_header=True
    )
    uncompressed = 64 * 64 * ((depth + 7) // 8)
    header = (0, len(segment.body), 64, uncompressed)
    assert read(payload) == [Bitmap(3, 5, 63, 68, 64, 64, depth, 0x001, header, segment.body)]


def test_as_many_rectangles_as_fit_share_an_update() -> None:
    segments = [compressed(Codec.BITMAP_PLANAR, 100 + number) for number in range(50)]
    payloads = update_payloads(segments, bits_per_pixel=32, max_size=1000)
    sizes = [len(payload) for payload in payloads]
    assert max(sizes) <= 1000
    assert [bitmap.data for payload in payloads for bitmap in read(payload)] == [
        each.body for each in segments
    ]
    for payload, following in pairwise(payloads):
        assert len(payload) + 18 + len(read(following)[0].data) > 1000


def test_an_update_that_is_full_to_the_last_byte() -> None:
    segments = [compressed(Codec.BITMAP_PLANAR, 78)] * 10
    (payload,) = update_payloads(segments, bits_per_pixel=32, max_size=4 + 10 * 96)
    assert len(payload) == 964


def test_nothing_at_all_is_no_update() -> None:
    assert update_payloads([], bits_per_pixel=32, max_size=1000) == []


@pytest.mark.parametrize("compression_header", [False, True])
def test_compressed_bitmaps_that_cannot_fit_are_an_error(compression_header: bool) -> None:
    room = 1000 - OVERHEAD + (0 if compression_header else 8)
    fits, too_long = (compressed(Codec.BITMAP_PLANAR, size) for size in (room, room + 1))
    options = {"bits_per_pixel": 32, "max_size": 1000, "compression_header": compression_header}
    assert len(update_payloads([fits], **options)[0]) == 1000
    with pytest.raises(LocalError):
        update_payloads([too_long], **options)


def test_a_row_that_cannot_fit_is_an_error() -> None:
    segment, _ = raw(0, 0, 64, 64)
    with pytest.raises(LocalError):
        update_payloads([segment], bits_per_pixel=32, max_size=200)


def test_other_codecs_are_an_error() -> None:
    with pytest.raises(LocalError):
        update_payloads([compressed(Codec.CLEARCODEC)], bits_per_pixel=32, max_size=1000)


# Surface commands


def test_surface_bits_have_the_first_pixels_outside() -> None:
    command = surface_bits(Rectangle(10, 20, 30, 40), b"data", codec_id=3, width=32, stream=True)
    fields = struct.unpack_from("<HHHHHBBBBHHI", command)
    assert fields == (6, 10, 20, 40, 60, 32, 0, 0, 3, 32, 40, 4)
    assert command[22:] == b"data"


def test_surface_bits_of_pixels_as_they_are() -> None:
    command = surface_bits(Rectangle(0, 0, 2, 1), bytes(8))
    assert command == struct.pack("<HHHHHBBBBHHI", 1, 0, 0, 2, 1, 32, 0, 0, 0, 2, 1, 8) + bytes(8)


def test_frame_markers() -> None:
    assert frame_begin(0x01020304) == bytes.fromhex("04 00 00 00 04 03 02 01")
    assert frame_end(7) == bytes.fromhex("04 00 01 00 07 00 00 00")
