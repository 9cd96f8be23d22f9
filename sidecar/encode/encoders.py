"""The table of encoders."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sidecar.encode import clear_codec, deflated, hextile, interleaved, planar, raw, raw_bitmap, tight, zrle
from sidecar.encode.form import Codec, Encoding, Form, Segment
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Pixels

Encoder = Callable[[Pixels, Form], bytes]

EXACT_ENCODERS: Mapping[Encoding | Codec, Encoder] = MappingProxyType(
    {
        Encoding.RAW: raw.encode,
        Encoding.HEXTILE: hextile.encode,
        Encoding.ZLIB: deflated.encode,
        Encoding.ZRLE: zrle.encode,
        Codec.CLEARCODEC: clear_codec.encode,
        Codec.PLANAR: planar.encode,
        Codec.UNCOMPRESSED: raw.encode,
        Codec.BITMAP_PLANAR: planar.encode_bitmap,
        Codec.BITMAP_INTERLEAVED: interleaved.encode,
        Codec.BITMAP_RAW: raw_bitmap.encode,
    }
)
"""From contiguous canonical pixels to a segment's body."""


def encode(rectangle: Rectangle, pixels: Pixels, form: Form) -> Segment:
    """The segment for `pixels` ((height, width), contiguous), which are shown at `rectangle`.

    Raises ValueError for more pixels than the encoding can carry (Tight: 2048 wide, 524288 in all).
    """
    if form.encoding is Encoding.TIGHT:
        body, lossy = tight.encode(pixels, form, _stream(rectangle))
        return Segment(rectangle, form.encoding, body, lossy)
    return Segment(rectangle, form.encoding, EXACT_ENCODERS[form.encoding](pixels, form))


def _stream(rectangle: Rectangle) -> int:
    """Which of Tight's streams to use: neighbours use different ones, so a client inflates them at once."""
    column, row = rectangle.x // TILE, rectangle.y // TILE
    return (column + row + row // tight.STREAMS) % tight.STREAMS
