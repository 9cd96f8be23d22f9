"""pixman's format codes, in which QEMU names the layout of its pixels, to canonical 0x00RRGGBB.

Source: pixman.h; facts: QEMU D-Bus section 3, "pixman format codes". A code is
bits per pixel << 24 | type << 16 | alpha bits << 12 | red << 8 | green << 4 | blue.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from sidecar.screen.surface import MAX_EDGE, Pixels

Octets = bytes | bytearray | memoryview

MAX_STRIDE: Final = 8 * 4 * MAX_EDGE
"""Bytes; nobody pads rows more."""


class PixmanError(ValueError):
    """The pixels are not what their description says, or the description is not understood."""


class PixmanFormat(IntEnum):
    """The formats that are understood, by pixman's names. Words are in host order, lowest bits named last."""

    X8R8G8B8 = 0x20020888
    A8R8G8B8 = 0x20028888
    X8B8G8R8 = 0x20030888
    A8B8G8R8 = 0x20038888
    B8G8R8X8 = 0x20080888
    B8G8R8A8 = 0x20088888
    R8G8B8X8 = 0x20090888
    R8G8B8A8 = 0x20098888
    X2R10G10B10 = 0x20020AAA
    A2R10G10B10 = 0x20022AAA
    R8G8B8 = 0x18020888
    B8G8R8 = 0x18030888
    R5G6B5 = 0x10020565
    X1R5G5B5 = 0x10020555
    A1R5G5B5 = 0x10021555

    @property
    def bytes_per_pixel(self) -> int:
        """2, 3 or 4."""
        return self >> 27

    @property
    def depths(self) -> tuple[int, int, int]:
        """Bits of red, green and blue."""
        return self >> 8 & 15, self >> 4 & 15, self & 15

    @property
    def shifts(self) -> tuple[int, int, int]:
        """Where the lowest bit of red, green and blue stands in the word."""
        red, green, blue = self.depths
        bits = self >> 24
        match self >> 16 & 255:
            case 2:
                return green + blue, blue, 0
            case 3:
                return 0, red, red + green
            case 8:
                return bits - blue - green - red, bits - blue - green, bits - blue
            case _:
                return bits - red, bits - red - green, bits - red - green - blue


_ALREADY_CANONICAL: Final = frozenset({PixmanFormat.X8R8G8B8, PixmanFormat.A8R8G8B8})


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of a picture, or of a part of one, lie in memory; rows are `stride` bytes apart."""

    form: PixmanFormat
    width: int
    height: int
    stride: int

    @classmethod
    def of(cls, width: int, height: int, stride: int, code: int) -> Self:
        """The layout that QEMU describes so.

        Raises PixmanError unless the format is one of those above, 1 <= width, height <= MAX_EDGE, and a row
        fits into `stride` <= MAX_STRIDE bytes.
        """
        try:
            form = PixmanFormat(code)
        except ValueError:
            raise PixmanError(f"pixman format {code:#x} is not known") from None
        if not (1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE):
            raise PixmanError(f"no picture is {width}x{height}")
        if not width * form.bytes_per_pixel <= stride <= MAX_STRIDE:
            raise PixmanError(f"rows of {width} pixels cannot be {stride} bytes apart")
        return cls(form, width, height, stride)

    @property
    def size(self) -> int:
        """Bytes from the first pixel to the last."""
        return self.stride * (self.height - 1) + self.width * self.form.bytes_per_pixel


def to_canonical(data: Octets, layout: Layout) -> Pixels:
    """The pixels of `data`: (height, width), uint32, 0x??RRGGBB, the top byte being anything.

    A view into `data` where the format allows it, else a new array. Raises PixmanError when `data` is too
    short; longer is allowed.
    """
    octets = np.frombuffer(data, np.uint8)
    if len(octets) < layout.size:
        raise PixmanError(f"a picture of {layout.size} bytes has only {len(octets)}")
    form, shape = layout.form, (layout.height, layout.width)
    if form.bytes_per_pixel == 3:
        triplets = np.ndarray((*shape, 3), np.uint8, octets, 0, (layout.stride, 3, 1))
        return _assemble([triplets[..., shift // 8].astype(np.uint32) for shift in form.shifts])
    dtype = np.uint32 if form.bytes_per_pixel == 4 else np.uint16
    words: NDArray[np.uint32] | NDArray[np.uint16]
    words = np.ndarray(shape, dtype, octets, 0, (layout.stride, form.bytes_per_pixel))
    if form in _ALREADY_CANONICAL:
        return words.astype(np.uint32, copy=False)
    return _assemble([_channel(words, *place) for place in zip(form.shifts, form.depths, strict=True)])


def _channel(words: NDArray[np.uint32] | NDArray[np.uint16], shift: int, depth: int) -> Pixels:
    """One colour as 0..255; as pixman does it, missing low bits repeat the high ones."""
    mask = np.uint32((1 << depth) - 1)
    value = words.astype(np.uint32, copy=False) >> np.uint32(shift) & mask
    if depth >= 8:
        return value >> np.uint32(depth - 8)
    return value << np.uint32(8 - depth) | value >> np.uint32(2 * depth - 8)


def _assemble(channels: list[Pixels]) -> Pixels:
    red, green, blue = channels
    return red << np.uint32(16) | green << np.uint32(8) | blue
