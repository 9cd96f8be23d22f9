"""RFB as a client writes it: numbers, pixel formats, messages. Written from the specification only."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Encoding(IntEnum):
    """Encodings and pseudo-encodings that the client understands."""

    RAW = 0
    COPY_RECT = 1
    HEXTILE = 5
    ZLIB = 6
    TIGHT = 7
    ZRLE = 16
    DESKTOP_SIZE = -223
    LAST_RECT = -224
    POINTER_POSITION = -232
    CURSOR = -239
    X_CURSOR = -240
    POINTER_TYPE = -257
    QEMU_EXTENDED_KEY = -258
    QEMU_AUDIO = -259
    QEMU_LED = -261
    DESKTOP_NAME = -307
    EXTENDED_DESKTOP_SIZE = -308
    XVP = -309
    FENCE = -312
    CONTINUOUS_UPDATES = -313
    ALPHA_CURSOR = -314
    EXTENDED_MOUSE_BUTTONS = -316
    VMWARE_CURSOR = 0x574D5664
    VMWARE_LED = 0x574D5668
    EXTENDED_CLIPBOARD = 0xC0A1E5CE - (1 << 32)


ALL_PSEUDO = tuple(
    encoding
    for encoding in Encoding
    if encoding < 0 or encoding in (Encoding.VMWARE_CURSOR, Encoding.VMWARE_LED)
)


def jpeg_quality(level: int) -> int:
    """The pseudo-encoding for a JPEG quality level 0..9."""
    return -32 + level


def compression(level: int) -> int:
    """The pseudo-encoding for a compression level 0..9."""
    return -256 + level


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """PIXEL_FORMAT (section 7.4)."""

    bits_per_pixel: int
    depth: int
    big_endian: bool
    true_colour: bool
    red_max: int
    green_max: int
    blue_max: int
    red_shift: int
    green_shift: int
    blue_shift: int

    def pack(self) -> bytes:
        return struct.pack(
            ">BBBBHHHBBB3x",
            self.bits_per_pixel,
            self.depth,
            self.big_endian,
            self.true_colour,
            self.red_max,
            self.green_max,
            self.blue_max,
            self.red_shift,
            self.green_shift,
            self.blue_shift,
        )

    @classmethod
    def unpack(cls, data: bytes) -> "PixelFormat":
        bpp, depth, big, true, *rest = struct.unpack(">BBBBHHHBBB3x", data)
        return cls(bpp, depth, bool(big), bool(true), *rest)

    @property
    def bytes_per_pixel(self) -> int:
        return self.bits_per_pixel // 8

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The type of a pixel on the wire."""
        return np.dtype(f"{'>' if self.big_endian else '<'}u{self.bytes_per_pixel}")

    @property
    def has_rgb_bytes(self) -> bool:
        """Whether Tight sends pixels as three bytes R, G, B."""
        maxima = (self.red_max, self.green_max, self.blue_max)
        return (
            self.true_colour and self.bits_per_pixel == 32 and self.depth == 24 and maxima == (255, 255, 255)
        )

    @property
    def compact_bytes(self) -> slice | None:
        """Which three of the four wire bytes make ZRLE's CPIXEL; None when it is a whole PIXEL."""
        if not self.true_colour or self.bits_per_pixel != 32 or self.depth > 24:
            return None
        used = (
            self.red_max << self.red_shift
            | self.green_max << self.green_shift
            | self.blue_max << self.blue_shift
        )
        if used < 1 << 24:
            return slice(1, 4) if self.big_endian else slice(0, 3)
        if not used & 0xFF:
            return slice(0, 3) if self.big_endian else slice(1, 4)
        return None

    def from_rgb(self, rgb: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Wire values of colours 0x00RRGGBB; channels that have fewer bits lose their low ones."""
        red = (rgb >> 16 & 0xFF) >> (8 - self.red_max.bit_length())
        green = (rgb >> 8 & 0xFF) >> (8 - self.green_max.bit_length())
        blue = (rgb & 0xFF) >> (8 - self.blue_max.bit_length())
        return np.asarray(
            red << self.red_shift | green << self.green_shift | blue << self.blue_shift, np.uint32
        )

    def to_rgb(self, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Colours 0x00RRGGBB of wire values; channels that have fewer bits are stretched."""

        def channel(shift: int, maximum: int) -> NDArray[np.uint32]:
            return np.asarray(((values >> shift & maximum) * 255 + maximum // 2) // maximum, np.uint32)

        red = channel(self.red_shift, self.red_max)
        green = channel(self.green_shift, self.green_max)
        return np.asarray(red << 16 | green << 8 | channel(self.blue_shift, self.blue_max), np.uint32)


BGRX = PixelFormat(32, 24, False, True, 255, 255, 255, 16, 8, 0)
RGBX = PixelFormat(32, 24, False, True, 255, 255, 255, 0, 8, 16)
XRGB_BIG = PixelFormat(32, 24, True, True, 255, 255, 255, 16, 8, 0)
RGBX_BIG = PixelFormat(32, 24, True, True, 255, 255, 255, 24, 16, 8)
BGRX_DEPTH_32 = PixelFormat(32, 32, False, True, 255, 255, 255, 16, 8, 0)
RGB565 = PixelFormat(16, 16, False, True, 31, 63, 31, 11, 5, 0)
RGB555_BIG = PixelFormat(16, 15, True, True, 31, 31, 31, 10, 5, 0)
BGR233 = PixelFormat(8, 8, False, True, 7, 7, 3, 0, 3, 6)
RGB222 = PixelFormat(8, 6, False, True, 3, 3, 3, 4, 2, 0)
COLOUR_MAP = PixelFormat(8, 8, False, False, 0, 0, 0, 0, 0, 0)


def set_pixel_format(pixel_format: PixelFormat) -> bytes:
    return b"\0\0\0\0" + pixel_format.pack()


def set_encodings(encodings: Sequence[int]) -> bytes:
    return struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings)


def update_request(incremental: bool, x: int, y: int, width: int, height: int) -> bytes:
    return struct.pack(">BBHHHH", 3, incremental, x, y, width, height)


def key_event(keysym: int, down: bool) -> bytes:
    return struct.pack(">BBxxI", 4, down, keysym)


def extended_key_event(keysym: int, keycode: int, down: bool) -> bytes:
    return struct.pack(">BBHII", 255, 0, down, keysym, keycode)


def pointer_event(x: int, y: int, buttons: int = 0) -> bytes:
    return struct.pack(">BBHH", 5, buttons, x, y)


def extended_pointer_event(x: int, y: int, buttons: int) -> bytes:
    """With the marker bit set and buttons 7 and 8 in a byte of their own."""
    return struct.pack(">BBHHB", 5, buttons & 0x7F | 0x80, x, y, buttons >> 7)


def cut_text(text: bytes) -> bytes:
    return struct.pack(">BxxxI", 6, len(text)) + text


def extended_cut_text(flags: int, body: bytes = b"") -> bytes:
    return struct.pack(">BxxxiI", 6, -(4 + len(body)), flags) + body


def enable_continuous_updates(on: bool, x: int, y: int, width: int, height: int) -> bytes:
    return struct.pack(">BBHHHH", 150, on, x, y, width, height)


def fence(flags: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BxxxIB", 248, flags, len(payload)) + payload


def xvp(action: int, version: int = 1) -> bytes:
    return struct.pack(">BxBB", 250, version, action)


def set_desktop_size(width: int, height: int, screen: int = 0) -> bytes:
    return struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, screen, 0, 0, width, height, 0)


@dataclass(frozen=True, slots=True)
class Update:
    """A FramebufferUpdate: the encoding and area of each of its rectangles, in order."""

    rectangles: tuple[tuple[int, int, int, int, int], ...]
    """(encoding, x, y, width, height)"""
    size: int
    """bytes on the wire"""

    @property
    def encodings(self) -> set[int]:
        return {rectangle[0] for rectangle in self.rectangles}

    @property
    def has_pixels(self) -> bool:
        return any(0 <= encoding < 256 for encoding in self.encodings)


@dataclass(frozen=True, slots=True)
class CutText:
    text: bytes


@dataclass(frozen=True, slots=True)
class ExtendedCutText:
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Fence:
    flags: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Xvp:
    action: int


@dataclass(frozen=True, slots=True)
class Bell:
    pass


@dataclass(frozen=True, slots=True)
class EndOfContinuousUpdates:
    pass


@dataclass(frozen=True, slots=True)
class ColourMap:
    first: int
    colours: int


ServerMessage = Update | CutText | ExtendedCutText | Fence | Xvp | Bell | EndOfContinuousUpdates | ColourMap
