"""What an X window shows, read from the server itself (XCB): in milliseconds, and all of one moment."""

import ctypes
from ctypes import Structure, c_char_p, c_int16, c_uint, c_uint8, c_uint16, c_uint32, c_void_p
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


class _Cookie(Structure):
    _fields_: ClassVar = [("sequence", c_uint)]


class _Geometry(Structure):
    _fields_: ClassVar = [
        *(("type", c_uint8), ("depth", c_uint8), ("sequence", c_uint16), ("length", c_uint32)),
        *(("root", c_uint32), ("x", c_int16), ("y", c_int16), ("width", c_uint16), ("height", c_uint16)),
    ]


class _Coordinates(Structure):
    _fields_: ClassVar = [
        *(("type", c_uint8), ("same_screen", c_uint8), ("sequence", c_uint16), ("length", c_uint32)),
        *(("child", c_uint32), ("x", c_int16), ("y", c_int16)),
    ]


class _Image(Structure):
    _fields_: ClassVar = [
        *(("type", c_uint8), ("depth", c_uint8), ("sequence", c_uint16), ("length", c_uint32)),
        *(("visual", c_uint32), ("padding", c_uint8 * 20)),
    ]


Z_PIXMAP = 2
ALL_PLANES = 0xFFFFFFFF


class XPictures:
    """A connection to the X server `display`, of which every screen has four bytes a pixel."""

    def __init__(self, display: str) -> None:
        self._libc = ctypes.CDLL("libc.so.6")
        self._libc.free.argtypes = [c_void_p]
        self._xcb = ctypes.CDLL("libxcb.so.1")
        self._xcb.xcb_connect.restype = c_void_p
        self._xcb.xcb_connect.argtypes = [c_char_p, c_void_p]
        for name in ("connection_has_error", "disconnect", "grab_server", "ungrab_server", "flush"):
            getattr(self._xcb, f"xcb_{name}").argtypes = [c_void_p]
        self._connection = self._xcb.xcb_connect(display.encode(), None)
        if self._xcb.xcb_connection_has_error(self._connection):
            self.close()
            raise AssertionError(f"no X display {display}")

    def window(self, window: int) -> NDArray[np.uint32]:
        """The part of a window that lies on the screen; nothing may lie over it. (height, width), 0x00RRGGBB.

        Empty where there is no such window any more, or it is not shown.
        """
        nothing = np.zeros((0, 0), np.uint32)
        # between the questions it neither moves nor changes
        self._xcb.xcb_grab_server(self._connection)
        try:
            geometry = self._ask("get_geometry", _Geometry, c_uint32(window))
            if geometry is None:
                return nothing
            root = self._ask("get_geometry", _Geometry, c_uint32(geometry[0].root))
            corner = self._ask(
                *("translate_coordinates", _Coordinates, c_uint32(window), c_uint32(geometry[0].root)),
                *(c_int16(0), c_int16(0)),
            )
            if root is None or corner is None:
                return nothing
            left, top = max(0, -corner[0].x), max(0, -corner[0].y)
            width = min(geometry[0].width, root[0].width - corner[0].x) - left
            height = min(geometry[0].height, root[0].height - corner[0].y) - top
            if width <= 0 or height <= 0:
                return nothing
            image = self._ask(
                *("get_image", _Image, c_uint8(Z_PIXMAP), c_uint32(window), c_int16(left), c_int16(top)),
                *(c_uint16(width), c_uint16(height), c_uint32(ALL_PLANES)),
            )
            if image is None:
                return nothing
            assert image[0].depth in (24, 32), image[0].depth
            words = np.frombuffer(image[1], np.uint32)
            return np.asarray(words.reshape(height, width) & 0xFFFFFF, np.uint32)
        finally:
            self._xcb.xcb_ungrab_server(self._connection)
            self._xcb.xcb_flush(self._connection)

    def _ask(self, request: str, answer: type[Structure], *arguments: Any) -> tuple[Any, bytes] | None:
        """The server's answer and the bytes after it; None where it answers with an error."""
        ask = getattr(self._xcb, f"xcb_{request}_unchecked")
        ask.restype = _Cookie
        ask.argtypes = [c_void_p, *(type(argument) for argument in arguments)]
        take = getattr(self._xcb, f"xcb_{request}_reply")
        take.restype = c_void_p
        take.argtypes = [c_void_p, _Cookie, c_void_p]
        address = take(self._connection, ask(self._connection, *arguments), None)
        if not address:
            return None
        try:
            told = answer.from_buffer_copy(ctypes.string_at(address, ctypes.sizeof(answer)))
            # the length counts words beyond the 32 bytes that every answer has
            return told, ctypes.string_at(address + 32, 4 * told.length)
        finally:
            self._libc.free(address)

    def close(self) -> None:
        self._xcb.xcb_disconnect(self._connection)
