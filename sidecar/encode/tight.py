"""Tight (RFB section 7.7.6): solid, two colours, a palette, full colour, or JPEG.

Every rectangle that uses zlib resets its stream first, so that it depends on no other.
"""

from typing import Final

import numpy as np

from sidecar.encode import jpeg
from sidecar.encode.colours import is_busy, sampled
from sidecar.encode.deflate import Data, deflate
from sidecar.encode.form import ZLIB_HEADER, Form
from sidecar.encode.palette import few_colours, two_colours
from sidecar.screen.surface import Pixels

MAX_WIDTH: Final = 2048
"""The widest rectangle that a client must take."""

MAX_AREA: Final = 1 << 19
"""Keeps the largest body (4 bytes a pixel that do not shrink) below the longest that can be written."""

UNCOMPRESSED: Final = 12
"""Data shorter than this is sent as it is, without a length."""

JPEG_AREA: Final = 1024
"""Smallest rectangle worth a JPEG's own tables (about 600 bytes)."""

JPEG_COLOURS: Final = 24
"""A rectangle of so few colours is drawn, not photographed: it stays exact, as does one of up to 256
colours in which pixels mostly equal their neighbours, such as text with soft edges."""

STREAMS: Final = 4

FILL: Final = 0x80
JPEG: Final = 0x90
EXPLICIT_FILTER: Final = 0x40
FILTER_PALETTE: Final = 0x01


def encode(pixels: Pixels, form: Form, stream: int = 0) -> tuple[bytes, bool]:
    """The body, and whether it is lossy. `stream`: 0..3, which of the client's zlib streams to use.

    Raises ValueError for a rectangle wider than MAX_WIDTH or larger than MAX_AREA.
    """
    height, width = pixels.shape
    if width > MAX_WIDTH or height * width > MAX_AREA:
        raise ValueError(f"{width}x{height} pixels are too many for one rectangle of Tight")
    flat = pixels.reshape(-1)
    sample = sampled(flat)
    if len(sample) <= 2 and (two := two_colours(pixels)) is not None:
        colours, is_second = two
        if colours.size == 1:
            return bytes((FILL,)) + form.pixel_form.tpixels(colours).tobytes(), False
        bits = np.packbits(is_second if width % 8 else is_second.reshape(-1), axis=-1).reshape(-1)
        return _paletted(colours, bits, form, stream), False
    may_lose = form.jpeg_quality is not None and flat.size >= JPEG_AREA
    limit = JPEG_COLOURS if may_lose and is_busy(flat) else min(256, max(2, flat.size // 8))
    palette = few_colours(pixels, sample, limit)
    if palette is not None:
        return _paletted(*palette, form, stream), False
    if may_lose and form.jpeg_quality is not None:
        picture = jpeg.encode(pixels, form.jpeg_quality)
        return bytes((JPEG,)) + compact_length(len(picture)) + picture, True
    return _basic(0, b"", form.pixel_form.tpixels(flat), form, stream), False


def compact_length(length: int) -> bytes:
    """A length of up to 4194303 as one to three bytes, the lower bits first."""
    if length < 1 << 7:
        return bytes((length,))
    if length < 1 << 14:
        return bytes((length & 0x7F | 0x80, length >> 7))
    return bytes((length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14))


def _paletted(colours: Pixels, indices: Data, form: Form, stream: int) -> bytes:
    palette = bytes((FILTER_PALETTE, len(colours) - 1)) + form.pixel_form.tpixels(colours).tobytes()
    return _basic(EXPLICIT_FILTER, palette, indices, form, stream)


def _basic(control: int, filter_part: bytes, data: Data, form: Form, stream: int) -> bytes:
    control |= stream << 4
    if len(data) < UNCOMPRESSED:
        return bytes((control,)) + filter_part + bytes(data)
    deflated = deflate(data, form.effort)
    length = compact_length(len(ZLIB_HEADER) + len(deflated))
    return b"".join((bytes((control | 1 << stream,)), filter_part, length, ZLIB_HEADER, deflated))
