"""Pixels as a PNG file (ISO/IEC 15948): 8 bits for each of red, green and blue, not interlaced."""

import struct
import zlib
from typing import Any, Final

import numpy as np

from sidecar.screen.surface import Pixels

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

BAND: Final = 1 << 20
"""Bytes that are compressed at a time, about: what is needed beside the pixels and the file."""

EFFORT: Final = 2
"""ISA-L's level."""

_TRUE_COLOUR: Final = 2
_HEADER = struct.Struct(">IIBBBBB")


def png(pixels: Pixels) -> bytes:
    """The file that shows `pixels`: (height, width), both at least 1, uint32, 0x??RRGGBB.

    Takes about 20 ms for each million of pixels: to be called off the main loop.
    """
    height, width = pixels.shape
    compressor = _compressor()
    parts = [SIGNATURE, _chunk(b"IHDR", _HEADER.pack(width, height, 8, _TRUE_COLOUR, 0, 0, 0))]
    # in front of every line stands its filter: none, which suits what screens show
    line = 1 + 3 * width
    step = max(1, BAND // line)
    for top in range(0, height, step):
        band = pixels[top : top + step]
        lines = np.zeros((len(band), line), np.uint8)
        for channel, shift in enumerate((16, 8, 0)):
            lines[:, 1 + channel :: 3] = band >> np.uint32(shift) & np.uint32(0xFF)
        data = compressor.compress(lines.data.cast("B"))
        if data:
            parts.append(_chunk(b"IDAT", data))
    parts += [_chunk(b"IDAT", compressor.flush()), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((len(data).to_bytes(4), kind, data, zlib.crc32(data, zlib.crc32(kind)).to_bytes(4)))


def _compressor() -> Any:
    """What makes one zlib stream (RFC 1950)."""
    try:
        from isal import isal_zlib
    except ImportError:
        # no wheel for this machine
        return zlib.compressobj(1)
    return isal_zlib.compressobj(EFFORT, zlib.DEFLATED, zlib.MAX_WBITS)
