"""Bitmap updates, for clients without the graphics pipeline (MS-RDPBCGR 2.2.9.1.1.3.1.2)."""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag

from sidecar.encode.form import Codec, Segment
from sidecar.encode.raw_bitmap import padded_width
from sidecar.rdp.errors import LocalError
from sidecar.screen.rectangle import Rectangle

_UPDATE = struct.Struct("<HH")
_BITMAP_DATA = struct.Struct("<9H")
_COMPRESSION_HEADER = struct.Struct("<4H")
_MAX_RECTANGLES = 0xFFFF

OVERHEAD = _UPDATE.size + _BITMAP_DATA.size + _COMPRESSION_HEADER.size
"""Bytes of an update that holds one rectangle besides the rectangle's own, at most."""


class UpdateType(IntEnum):
    """updateType of slow-path updates, which fast-path bitmap and palette updates begin with too."""

    ORDERS = 0
    BITMAP = 1
    PALETTE = 2
    SYNCHRONIZE = 3


class BitmapFlags(IntFlag):
    """flags of TS_BITMAP_DATA."""

    BITMAP_COMPRESSION = 0x0001
    NO_BITMAP_COMPRESSION_HDR = 0x0400


def update_payloads(
    segments: Sequence[Segment], *, bits_per_pixel: int, max_size: int, compression_header: bool = False
) -> list[bytes]:
    """Payloads of few bitmap updates: the same on the fast path (BITMAP) and the slow path (UPDATE).

    `segments`: of Codec.BITMAP_*, each of at most 65535 bytes. `bits_per_pixel`: of their pixels (planar
    ones have 32 whatever it is). `max_size`: bytes of a payload, at least OVERHEAD and a row of pixels.
    `compression_header`: whether the client wants a TS_CD_HEADER in front of compressed data.

    Raw segments are cut between rows where they do not fit; LocalError is raised for others.
    """
    payloads: list[bytes] = []
    parts: list[bytes] = []
    size, count = _UPDATE.size, 0
    for segment in segments:
        for header, body in _bitmap_data(segment, bits_per_pixel, max_size, compression_header):
            added = len(header) + len(body)
            if count and (size + added > max_size or count == _MAX_RECTANGLES):
                payloads.append(_UPDATE.pack(UpdateType.BITMAP, count) + b"".join(parts))
                parts.clear()
                size, count = _UPDATE.size, 0
            parts += (header, body)
            size += added
            count += 1
    if count:
        payloads.append(_UPDATE.pack(UpdateType.BITMAP, count) + b"".join(parts))
    return payloads


def _bitmap_data(
    segment: Segment, bits_per_pixel: int, max_size: int, compression_header: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Header and data of the rectangles that a segment becomes: one, or several where it is cut."""
    body, area = segment.body, segment.rectangle
    room = max_size - _UPDATE.size - _BITMAP_DATA.size
    match segment.encoding:
        case Codec.BITMAP_RAW:
            yield from _raw(area, body, bits_per_pixel, room)
            return
        case Codec.BITMAP_PLANAR:
            depth = 32
        case Codec.BITMAP_INTERLEAVED:
            depth = bits_per_pixel
        case other:
            raise LocalError(f"{other.name} is no codec of bitmap updates.")
    flags = BitmapFlags.BITMAP_COMPRESSION
    inner = b""
    if compression_header:
        width = padded_width(area.width)
        inner = _COMPRESSION_HEADER.pack(0, len(body), width, width * area.height * _bytes_per_pixel(depth))
    else:
        flags |= BitmapFlags.NO_BITMAP_COMPRESSION_HDR
    if len(inner) + len(body) > room:
        raise LocalError(f"A rectangle of {len(body)} bytes does not fit an update of {max_size}.")
    yield _header(area, depth, flags, len(inner) + len(body)) + inner, body


def _raw(area: Rectangle, body: bytes, bits_per_pixel: int, room: int) -> Iterator[tuple[bytes, bytes]]:
    if len(body) <= room:
        yield _header(area, bits_per_pixel, 0, len(body)), body
        return
    row_size = padded_width(area.width) * _bytes_per_pixel(bits_per_pixel)
    rows = room // row_size
    if not rows:
        raise LocalError(f"A row of {row_size} bytes does not fit an update.")
    # the first rows of the data are the lowest ones on the screen
    for low in range(0, area.height, rows):
        high = min(low + rows, area.height)
        part = Rectangle(area.x, area.bottom - high, area.width, high - low)
        data = body[low * row_size : high * row_size]
        yield _header(part, bits_per_pixel, 0, len(data)), data


def _header(area: Rectangle, bits_per_pixel: int, flags: int, length: int) -> bytes:
    return _BITMAP_DATA.pack(
        area.x,
        area.y,
        area.right - 1,
        area.bottom - 1,
        padded_width(area.width),
        area.height,
        bits_per_pixel,
        flags,
        length,
    )


def _bytes_per_pixel(bits_per_pixel: int) -> int:
    return (bits_per_pixel + 7) // 8
