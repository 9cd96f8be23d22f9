"""Fonts of the Linux console: PC Screen Font, version 1, with its table of Unicode characters.

Source: kbd's psf.h and the page "PC Screen Font" of the same project.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.errors import SidecarError

MAGIC = b"\x36\x04"
MODE_512, MODE_HAS_TABLE = 1, 2
WIDTH = 8
"""Of every font of this version, in pixels."""

_SEPARATOR, _SEQUENCE = 0xFFFF, 0xFFFE


class BrokenFont(SidecarError):
    """A file is no font of this kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Font:
    """`glyphs`: (number of glyphs, height, WIDTH), True where there is ink. `places`: which glyph shows a
    character."""

    glyphs: NDArray[np.bool_]
    places: dict[str, int]


def read_font(data: bytes) -> Font:
    """The font in a whole, uncompressed file. Raises BrokenFont."""
    if len(data) < 4 or not data.startswith(MAGIC):
        raise BrokenFont("this is no PC Screen Font of version 1")
    mode, height = data[2], data[3]
    count = 512 if mode & MODE_512 else 256
    end = 4 + count * height
    if not height or len(data) < end:
        raise BrokenFont("a PC Screen Font ends too early")
    rows = np.frombuffer(data, np.uint8, count * height, 4)
    glyphs = np.unpackbits(rows).reshape(count, height, WIDTH).astype(np.bool_)
    places = _places(data[end:], count) if mode & MODE_HAS_TABLE else {}
    return Font(glyphs, places)


def _places(table: bytes, count: int) -> dict[str, int]:
    """Characters for each glyph in turn: some of 16 bits, then sequences of them, which are left out."""
    places: dict[str, int] = {}
    glyph, in_sequence = 0, False
    for (unit,) in struct.iter_unpack("<H", table[: len(table) & ~1]):
        if glyph == count:
            break
        if unit == _SEPARATOR:
            glyph, in_sequence = glyph + 1, False
        elif unit == _SEQUENCE:
            in_sequence = True
        elif not in_sequence:
            places.setdefault(chr(unit), glyph)
    return places
