"""What a picture is encoded for, and the result."""

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from sidecar.encode.pixel_form import CANONICAL, CANONICAL_SHIFTS, FULL, SWAPPED, SWAPPED_SHIFTS, PixelForm
from sidecar.screen.rectangle import Rectangle

ZLIB_HEADER = b"\x78\x01"
"""What a zlib stream begins with (RFC 1950): deflate, 32 KiB window, no dictionary."""


class Encoding(IntEnum):
    """The RFB encodings that pixels are sent in, by their number."""

    RAW = 0
    HEXTILE = 5
    ZLIB = 6
    TIGHT = 7
    ZRLE = 16

    @property
    def is_streamed(self) -> bool:
        """Whether all rectangles of this encoding are one zlib stream per connection."""
        return self in (Encoding.ZLIB, Encoding.ZRLE)


@dataclass(frozen=True, slots=True)
class Form:
    """Everything that the bytes of a segment depend on besides its pixels. Make it by `Form.of`.

    `jpeg_quality`: 1..100 where pixels may be sent as JPEG, None where they must be exact.
    `effort`: how hard deflate tries, 0..3 (ISA-L's levels).
    """

    encoding: Encoding
    pixel_form: PixelForm = CANONICAL
    jpeg_quality: int | None = None
    effort: int = 1
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # forms are looked up far more often than made
        object.__setattr__(
            self, "_hash", hash((self.encoding, self.pixel_form, self.jpeg_quality, self.effort))
        )

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(
        cls,
        encoding: Encoding,
        pixel_form: PixelForm = CANONICAL,
        *,
        quality_level: int | None = None,
        compress_level: int | None = None,
    ) -> "Form":
        """The form for a client's wishes; wishes that lead to the same bytes give the same form.

        `quality_level` and `compress_level`: 0..9 as in RFB's pseudo-encodings, None where the client
        gave none. JPEG is for Tight with 16 or 32 bits per pixel only.
        """
        quality = None
        if encoding is Encoding.TIGHT and quality_level is not None and pixel_form.bits_per_pixel != 8:
            quality = JPEG_QUALITY[quality_level]
        effort = 1
        if encoding in (Encoding.RAW, Encoding.HEXTILE):
            effort = 0
        elif compress_level is not None:
            effort = EFFORT[compress_level]
        return cls(encoding, _shared(encoding, pixel_form), quality, effort)


JPEG_QUALITY = (5, 10, 15, 25, 37, 50, 60, 70, 75, 80)
"""JPEG quality by RFB quality level, as QEMU has it (facts: RFB section 4.2)."""

EFFORT = (0, 1, 1, 1, 1, 1, 1, 1, 1, 1)
"""ISA-L level by RFB compress level. Levels 2 and 3 take longer and give no smaller screens."""


def _shared(encoding: Encoding, pixel_form: PixelForm) -> PixelForm:
    """The pixel form that stands for all that `encoding` writes in the same way."""
    if encoding is Encoding.TIGHT and pixel_form.has_rgb_tpixel:
        return CANONICAL
    if encoding is Encoding.ZRLE and pixel_form.cpixel_size == 3 and pixel_form.maxima == FULL:
        order = {CANONICAL_SHIFTS: False, SWAPPED_SHIFTS: True}.get(pixel_form.shifts)
        if order is not None:
            return SWAPPED if order != pixel_form.big_endian else CANONICAL
    return pixel_form


@dataclass(frozen=True, slots=True)
class Segment:
    """One encoded rectangle, which any number of connections of the same form may send.

    `body`: all that follows the rectangle's header; for Zlib and ZRLE only the raw deflate part of it,
    since the length in front of it depends on whether it opens the connection's stream. Use `head`.
    """

    rectangle: Rectangle
    encoding: Encoding
    body: bytes
    lossy: bool = False

    def head(self, opens_stream: bool = False) -> bytes:
        """What a connection sends in front of `body`: 12 to 18 bytes (RFB FramebufferUpdate rectangle).

        `opens_stream`: whether this is the first rectangle of its zlib stream on that connection; it has
        a meaning for Zlib and ZRLE only.
        """
        if not self.encoding.is_streamed:
            return _RECTANGLE.pack(*self.rectangle, self.encoding)
        if opens_stream:
            length = len(ZLIB_HEADER) + len(self.body)
            return _STREAMED.pack(*self.rectangle, self.encoding, length) + ZLIB_HEADER
        return _STREAMED.pack(*self.rectangle, self.encoding, len(self.body))


_RECTANGLE = struct.Struct(">4Hi")
_STREAMED = struct.Struct(">4HiI")
