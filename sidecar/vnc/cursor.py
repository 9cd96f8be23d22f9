"""The pointer's picture as rectangles of each kind that clients take (facts: RFB section 3)."""

import struct

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.form import Encoding
from sidecar.encode.pixel_form import PixelForm
from sidecar.screen.cursor import MAX_CURSOR_EDGE, Cursor
from sidecar.vnc.capabilities import CursorKind
from sidecar.vnc.messages import rectangle_header, update_header

_VMWARE_RGBA = struct.pack(">BB", 1, 0)
"""Type 1 (red, green, blue, alpha) and a byte of padding."""

_INNER = struct.pack(">i", Encoding.RAW)

_HIDDEN = Cursor(np.zeros((1, 1), np.uint32), 0, 0)
"""Shown in place of no cursor: libvncclient takes one of no size for no news and goes on showing the last."""

_OPAQUE = np.uint32(0x80000000)
"""Alpha from which on a pixel is shown where there is only a mask."""


def cursor_update(kind: CursorKind, cursor: Cursor | None, form: PixelForm) -> bytes:
    """An update that only holds the pointer's picture; None hides it.

    `form`: the client's pixels, of which only PLAIN depends. A picture that is larger than TigerVNC bears
    (256 pixels a side) is cut at the right and the bottom.
    """
    if cursor is None or not cursor.pixels.size:
        cursor = _HIDDEN
    pixels = np.ascontiguousarray(cursor.pixels[:MAX_CURSOR_EDGE, :MAX_CURSOR_EDGE])
    height, width = pixels.shape
    hot_x, hot_y = min(cursor.hot_x, width - 1), min(cursor.hot_y, height - 1)
    header = update_header(1) + rectangle_header(hot_x, hot_y, width, height, kind.value.value)
    if kind is CursorKind.VMWARE:
        return header + _VMWARE_RGBA + _rgba(pixels)
    if kind is CursorKind.ALPHA:
        return header + _INNER + _rgba(_premultiplied(pixels))
    shown = pixels >= _OPAQUE
    colours = np.where(shown, pixels & np.uint32(0xFFFFFF), np.uint32(0))
    mask = np.packbits(shown, axis=1)
    return header + form.pixels(colours).tobytes() + mask.tobytes()


def _rgba(pixels: NDArray[np.uint32]) -> bytes:
    """Red, green, blue and alpha of each 0xAARRGGBB."""
    return (pixels << np.uint32(8) | pixels >> np.uint32(24)).astype(">u4").tobytes()


def _premultiplied(pixels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Each colour times its alpha, rounded to the nearest."""
    alpha = pixels >> np.uint32(24)
    result = pixels & np.uint32(0xFF000000)
    for shift in (np.uint32(0), np.uint32(8), np.uint32(16)):
        channel = pixels >> shift & np.uint32(255)
        result |= (channel * alpha + np.uint32(127)) // np.uint32(255) << shift
    return result
