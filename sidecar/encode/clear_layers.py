"""What ClearCodec's bitmaps are put together from (MS-RDPEGFX 2.2.4.1.1)."""

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sidecar.encode.colours import lengths_of_runs, starts_of_runs
from sidecar.encode.pixel_form import CANONICAL
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Pixels

LAYERS: Final = struct.Struct("<III")
PART: Final = struct.Struct("<HHHHIB")

LONG: Final = 0xFF
HUGE: Final = 0xFFFF
"""What stands for a length that takes two bytes or four more."""

Places = NDArray[np.intp]


class SubCodec(IntEnum):
    """How a part of a bitmap is coded: subCodecId (section 2.2.4.1.1.3.1)."""

    UNCOMPRESSED = 0
    RLEX = 2


def composed(residual: bytes, parts: Iterable[bytes]) -> bytes:
    """CLEARCODEC_COMPOSITE_PAYLOAD (section 2.2.4.1.1) without bands. The residual layer may be empty."""
    subcodecs = b"".join(parts)
    return b"".join((LAYERS.pack(len(residual), 0, len(subcodecs)), residual, subcodecs))


def part(area: Rectangle, subcodec: SubCodec, data: bytes) -> bytes:
    """CLEARCODEC_SUBCODEC (section 2.2.4.1.1.3.1): `data` for `area` of the bitmap."""
    return PART.pack(area.x, area.y, area.width, area.height, len(data), subcodec) + data


def raw(area: Rectangle, pixels: Pixels) -> bytes:
    """The part that is what the bitmap `pixels` shows at `area`, uncompressed."""
    shown = pixels[area.y : area.bottom, area.x : area.right]
    return part(area, SubCodec.UNCOMPRESSED, CANONICAL.cpixels(shown).tobytes())


def residual(pixels: Pixels) -> bytes:
    """CLEARCODEC_RESIDUAL_DATA (section 2.2.4.1.1.1): the runs of `pixels` (contiguous)."""
    starts = starts_of_runs(pixels, pixels.size)
    return residual_of(pixels.reshape(-1).take(starts, mode="clip"), lengths_of_runs(starts, pixels.size))


def residual_of(colours: Pixels, lengths: Places) -> bytes:
    """The same for runs of these `colours`, which are written over, and `lengths`."""
    words, _ = with_lengths(colours, lengths)
    return words.tobytes()


def with_lengths(runs: NDArray[Any], lengths: Places) -> tuple[NDArray[np.uint16], Places]:
    """`runs` (uint16 or uint32, one for each) with their lengths in the uppermost bytes, and beyond.

    This is how the residual layer and RLEX write them: in that byte below 255; else it is 255, and two bytes
    follow; where these are 65535, four more follow. `runs` is written over. Returned besides: which runs are
    of 255 and more.
    """
    kind = runs.dtype.type
    runs |= np.minimum(lengths, LONG).astype(kind) << kind(8 * runs.itemsize - 8)
    words = runs.view(np.uint16)
    longs = np.flatnonzero(lengths >= LONG)
    if longs.size:
        more = lengths[longs]
        ends = (longs + 1) * (runs.itemsize // 2)
        words = np.insert(words, ends, np.minimum(more, HUGE).astype(np.uint16))
        huge = np.flatnonzero(more >= HUGE)
        if huge.size:
            # by now one word stands behind this run and behind each long one before
            ends = ends[huge] + huge + 1
            words = np.insert(words, np.repeat(ends, 2), more[huge].astype("<u4").view("<u2"))
    return words, longs
