"""Surface commands of fast-path updates: pixels of any size, and frames (MS-RDPBCGR 2.2.9.2)."""

import struct
from enum import IntEnum

from sidecar.screen.rectangle import Rectangle

_SURFACE_BITS = struct.Struct("<HHHHHBBBBHHI")
_FRAME_MARKER = struct.Struct("<HHI")

UNCOMPRESSED = 0
"""codecID of pixels as they are; every other one is what the client calls it in its bitmap codecs."""


class CommandType(IntEnum):
    """cmdType; the names have CMDTYPE_ in front in the specification."""

    SET_SURFACE_BITS = 0x0001
    FRAME_MARKER = 0x0004
    STREAM_SURFACE_BITS = 0x0006


class FrameAction(IntEnum):
    """frameAction; the names have SURFACECMD_FRAMEACTION_ in front in the specification."""

    BEGIN = 0x0000
    END = 0x0001


def surface_bits(
    area: Rectangle,
    data: bytes,
    *,
    bits_per_pixel: int = 32,
    codec_id: int = UNCOMPRESSED,
    width: int | None = None,
    stream: bool = False,
) -> bytes:
    """A set (or stream) surface bits command with its bitmap data, 2.2.9.2.1 and 2.2.9.2.2.

    `area`: pixels on the desktop, each edge at most 65535. `width`: pixels of a row in `data`, where that is
    more than the area shows. What is uncompressed goes from the bottom up.
    """
    kind = CommandType.STREAM_SURFACE_BITS if stream else CommandType.SET_SURFACE_BITS
    header = _SURFACE_BITS.pack(
        kind,
        area.x,
        area.y,
        area.right,
        area.bottom,
        bits_per_pixel,
        0,
        0,
        codec_id,
        area.width if width is None else width,
        area.height,
        len(data),
    )
    return header + data


def frame_begin(frame_id: int) -> bytes:
    """The frame marker in front of a frame, 2.2.9.2.3. `frame_id`: U32."""
    return _FRAME_MARKER.pack(CommandType.FRAME_MARKER, FrameAction.BEGIN, frame_id)


def frame_end(frame_id: int) -> bytes:
    """The frame marker behind a frame, which the client acknowledges once it is shown, if it does at all."""
    return _FRAME_MARKER.pack(CommandType.FRAME_MARKER, FrameAction.END, frame_id)
