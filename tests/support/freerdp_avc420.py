"""FreeRDP's own AVC420 decoder, major version 2 or 3, whichever is installed, called in this process."""

import ctypes
from ctypes import POINTER, c_int, c_uint8, c_uint16, c_uint32, c_void_p
from functools import cache

import numpy as np
from support.avc420_decoder import Picture, Stream

LIBRARIES = ("libfreerdp3.so.3", "libfreerdp2.so.2")

BGRX32 = 32 << 24 | 4 << 16 | 8 << 8 | 8 << 4 | 8
"""PIXEL_FORMAT_BGRX32 (freerdp/codec/color.h): our pixels."""

ALIGNMENT = 64
"""Bytes to which a surface and its rows are aligned, as FreeRDP does it: its vector code relies on 16."""


@cache
def library() -> ctypes.CDLL:
    """FreeRDP's library; AssertionError where none is installed."""
    for name in LIBRARIES:
        try:
            found = ctypes.CDLL(name)
        except OSError:
            continue
        found.h264_context_new.restype = c_void_p
        found.h264_context_new.argtypes = [c_int]
        found.h264_context_reset.argtypes = [c_void_p, c_uint32, c_uint32]
        found.h264_context_free.argtypes = [c_void_p]
        found.avc420_decompress.argtypes = [
            *(c_void_p, POINTER(c_uint8), c_uint32, c_void_p),
            *(c_uint32, c_uint32, c_uint32, c_uint32, POINTER(c_uint16), c_uint32),
        ]
        return found
    raise AssertionError("FreeRDP is not installed")


class FreeRdpAvc420:
    """Follows one stream for a surface of one size, which it paints into."""

    def __init__(self, width: int, height: int) -> None:
        self._stride = -(-4 * width // ALIGNMENT) * ALIGNMENT
        memory = np.zeros(height * self._stride + ALIGNMENT, np.uint8)
        offset = -memory.ctypes.data % ALIGNMENT
        self._rows = memory[offset : offset + height * self._stride].reshape(height, self._stride)
        self.surface: Picture = self._rows.view(np.uint32)[:, :width]
        context = library().h264_context_new(0)
        assert context, "FreeRDP is built without H.264"
        self._context = c_void_p(context)
        assert library().h264_context_reset(self._context, width, height)

    def close(self) -> None:
        library().h264_context_free(self._context)

    def show(self, data: bytes) -> Picture:
        """Takes a picture; the surface, 0x00RRGGBB."""
        stream = Stream.parse(data)
        regions = (c_uint16 * (4 * len(stream.regions)))(*(edge for area in stream.regions for edge in area))
        units = (c_uint8 * len(stream.units)).from_buffer_copy(stream.units)
        height, width = self.surface.shape
        status = library().avc420_decompress(
            *(self._context, units, len(stream.units), self._rows.ctypes.data, BGRX32, self._stride),
            *(width, height, regions, len(stream.regions)),
        )
        assert status == 1, f"FreeRDP cannot decode it: {status}"
        return self.surface & 0xFFFFFF
