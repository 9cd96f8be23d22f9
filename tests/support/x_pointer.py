"""The picture of the mouse pointer on an X display, as a person sees it (XFixes)."""

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_int, c_short, c_ulong, c_ushort, c_void_p
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class XPointer:
    """`pixels`: (height, width), 0xAARRGGBB, premultiplied."""

    pixels: NDArray[np.uint32]
    hot_spot: tuple[int, int]
    position: tuple[int, int]


class _CursorImage(Structure):
    _fields_: ClassVar = [
        ("x", c_short),
        ("y", c_short),
        ("width", c_ushort),
        ("height", c_ushort),
        ("hot_x", c_ushort),
        ("hot_y", c_ushort),
        ("serial", c_ulong),
        # 32 bits each, in a long
        ("pixels", POINTER(c_ulong)),
        ("atom", c_ulong),
        ("name", c_char_p),
    ]


def x_pointer(display: str) -> XPointer:
    """What `display` shows as its pointer now."""
    x11, fixes = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXfixes.so.3")
    x11.XOpenDisplay.restype = c_void_p
    x11.XOpenDisplay.argtypes = [c_char_p]
    x11.XCloseDisplay.argtypes = x11.XFree.argtypes = [c_void_p]
    fixes.XFixesQueryExtension.argtypes = [c_void_p, POINTER(c_int), POINTER(c_int)]
    fixes.XFixesGetCursorImage.restype = POINTER(_CursorImage)
    fixes.XFixesGetCursorImage.argtypes = [c_void_p]
    connection = x11.XOpenDisplay(display.encode())
    assert connection, f"no X display {display}"
    try:
        assert fixes.XFixesQueryExtension(connection, c_int(), c_int())
        image = fixes.XFixesGetCursorImage(connection)
        shown = image.contents
        count = shown.width * shown.height
        longs = np.ctypeslib.as_array(shown.pixels, (count,))
        pixels = (longs & 0xFFFFFFFF).astype(np.uint32).reshape(shown.height, shown.width)
        pointer = XPointer(pixels, (shown.hot_x, shown.hot_y), (shown.x, shown.y))
        x11.XFree(ctypes.cast(image, c_void_p))
        return pointer
    finally:
        x11.XCloseDisplay(connection)
