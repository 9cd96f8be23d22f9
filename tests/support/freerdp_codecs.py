"""The decoders of FreeRDP's own library, which its clients draw with."""

import ctypes
import ctypes.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARIES = ("freerdp2", "freerdp3")
"""Debian: libfreerdp2-2 and libfreerdp3-3."""

BGRX32 = 0x20040888
RGB16 = 0x10010565
RGB15 = 0x0F010555
UNDRAWN = 0x5A

Picture = NDArray[np.uint32]
_POINTER, _UINT32, _INT = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int
_DRAWN = [_POINTER, *[_UINT32] * 6]
"""Where to: pixels, their format, bytes of a row, x, y, width, height."""


def library_names() -> list[str]:
    """The names, for `FreerdpCodecs`, of those libraries that are installed."""
    return [found for name in LIBRARIES if (found := ctypes.util.find_library(name))]


class FreerdpCodecs:
    """One client's decoders. Each raises ValueError for what it refuses. Close it."""

    def __init__(self, library_name: str, max_edge: int = 2048) -> None:
        library = ctypes.CDLL(library_name)
        self._free: list[Callable[[], object]] = []
        self._clear = self._context(library, "clear_context", _INT(0))
        self._planar = self._context(
            library, "freerdp_bitmap_planar_context", _UINT32(0), _UINT32(max_edge), _UINT32(max_edge)
        )
        self._interleaved = self._context(library, "bitmap_interleaved_context", _INT(0))
        source = [_POINTER, ctypes.c_char_p, *[_UINT32] * 3]
        self._decompress_clear = library.clear_decompress
        self._decompress_clear.argtypes = [*source, *_DRAWN, _POINTER]
        # its name in late versions of FreeRDP 3
        self._decompress_planar = getattr(library, "freerdp_bitmap_decompress_planar", None) or (
            library.planar_decompress
        )
        self._decompress_planar.argtypes = [*source, *_DRAWN, _INT]
        self._decompress_interleaved = library.interleaved_decompress
        self._decompress_interleaved.argtypes = [*source, _UINT32, *_DRAWN, _POINTER]

    def close(self) -> None:
        """Frees the decoders."""
        while self._free:
            self._free.pop()()

    def clear_codec(self, data: bytes, width: int, height: int) -> Picture:
        """A CLEARCODEC_BITMAP_STREAM; the next one must have the next sequence number."""
        picture = _undrawn(width, height)
        status = self._decompress_clear(
            self._clear, data, len(data), width, height, *_drawn(picture, BGRX32), None
        )
        _check(status >= 0)
        return picture & np.uint32(0xFFFFFF)

    def planar(self, data: bytes, width: int, height: int, bottom_up: bool) -> Picture:
        """An RDP6_BITMAP_STREAM."""
        picture = _undrawn(width, height)
        status = self._decompress_planar(
            self._planar, data, len(data), width, height, *_drawn(picture, BGRX32), bottom_up
        )
        _check(status)
        return picture & np.uint32(0xFFFFFF)

    def interleaved(self, data: bytes, width: int, height: int, bits: int) -> Picture:
        """An RLE_BITMAP_STREAM; for 15 and 16 bits per pixel the values are returned."""
        pixel_format = {15: RGB15, 16: RGB16, 24: BGRX32}[bits]
        picture = _undrawn(width, height).astype(np.uint32 if bits == 24 else np.uint16)
        status = self._decompress_interleaved(
            self._interleaved, data, len(data), width, height, bits, *_drawn(picture, pixel_format), None
        )
        _check(status)
        return picture.astype(np.uint32) & np.uint32(0xFFFFFF)

    def _context(self, library: ctypes.CDLL, name: str, *arguments: object) -> ctypes.c_void_p:
        new, free = getattr(library, f"{name}_new"), getattr(library, f"{name}_free")
        new.restype, free.argtypes = _POINTER, [_POINTER]
        context = _POINTER(new(*arguments))
        if not context:
            raise MemoryError(name)
        self._free.append(lambda: free(context))
        return context


def _undrawn(width: int, height: int) -> Picture:
    return np.full((height, width), UNDRAWN * 0x01010101, np.uint32)


def _drawn(picture: NDArray[Any], pixel_format: int) -> tuple[int, ...]:
    height, width = picture.shape
    return picture.ctypes.data, pixel_format, picture.strides[0], 0, 0, width, height


def _check(status: int) -> None:
    if not status:
        raise ValueError("FreeRDP refuses this bitmap")
