"""What a picture is encoded for, and the result."""

from dataclasses import dataclass, field
from enum import Enum, IntEnum

from sidecar.encode.pixel_form import CANONICAL, CANONICAL_SHIFTS, FULL, SWAPPED, SWAPPED_SHIFTS, PixelForm
from sidecar.screen.damage import MAX_TILES
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

    @property
    def is_video(self) -> bool:
        """Whether its pictures build on each other: never."""
        return False

    @property
    def max_tiles(self) -> int:
        """Tiles of a rectangle, at most."""
        return MAX_TILES


class Codec(Enum):
    """The RDP codecs that pixels are sent in, and how the body of their segments is laid out.

    Those of the graphics pipeline (MS-RDPEGFX) fill the bitmapData of a wire-to-surface PDU. Those whose
    name begins with BITMAP fill one TS_BITMAP_DATA of a bitmap update (MS-RDPBCGR 2.2.9.1.1.3.1.2.2), in the
    colours of the form's pixel form.
    """

    CLEARCODEC = "clearcodec"
    """CLEARCODEC_BITMAP_STREAM without its flags and sequence number, which are the connection's"""
    PLANAR = "planar"
    """RDP6_BITMAP_STREAM, from the top down"""
    UNCOMPRESSED = "uncompressed"
    """32 bits per pixel, from the top down"""
    AVC420 = "avc420"
    """RFX_AVC420_BITMAP_STREAM; part of a stream of pictures, so no segment store keeps it"""
    BITMAP_PLANAR = "bitmap-planar"
    """RDP6_BITMAP_STREAM, from the bottom up, 32 bits per pixel"""
    BITMAP_INTERLEAVED = "bitmap-interleaved"
    """interleaved RLE, from the bottom up, 15, 16 or 24 bits per pixel"""
    BITMAP_RAW = "bitmap-raw"
    """pixels as they are, from the bottom up, rows padded to four bytes"""

    @property
    def is_streamed(self) -> bool:
        """Whether all rectangles are one zlib stream per connection: never."""
        return False

    @property
    def is_video(self) -> bool:
        """Whether its pictures build on each other."""
        return self is Codec.AVC420

    @property
    def max_tiles(self) -> int:
        """Tiles of a rectangle, at most."""
        return 1 if self.value.startswith("bitmap") else MAX_TILES


@dataclass(frozen=True, slots=True)
class Form:
    """Everything that the bytes of a segment depend on besides its pixels. Make it by `Form.of`.

    `jpeg_quality`: 1..100 where pixels may be sent as JPEG, None where they must be exact.
    `effort`: how hard deflate tries, 0..3 (ISA-L's levels).
    """

    encoding: Encoding | Codec
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
    since the length in front of it depends on whether it opens the connection's stream. The header is the
    frontend's.
    """

    rectangle: Rectangle
    encoding: Encoding | Codec
    body: bytes
    lossy: bool = False
