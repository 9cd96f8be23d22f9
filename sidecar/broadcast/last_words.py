"""What stands on a client's screen when its session is ended and its protocol has no words for it."""

from functools import lru_cache

import numpy as np

from sidecar.screen.notice import draw_notice
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Pixels, Surface


@lru_cache(maxsize=4)
def last_words(width: int, height: int, text: str) -> tuple[Rectangle, Pixels]:
    """A box with `text` for the middle of a screen of that size: where it goes, and its pixels.

    Cached, since all sessions of a screen are often ended at once: nobody may write to the pixels.
    """
    surface = Surface(width, height)
    sentence = text[:1].upper() + text[1:]
    draw_notice(surface, f"{sentence}.", keep_picture=False)
    # its frame is the outermost that is not black
    rows, columns = (np.flatnonzero(surface.frame.pixels.any(axis=axis)) for axis in (1, 0))
    area = Rectangle(
        int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
    )
    pixels = surface.frame.snapshot(area)
    pixels.flags.writeable = False
    return area, pixels


def pieces(area: Rectangle, width: int, height: int) -> list[Rectangle]:
    """`area` in pieces of at most this size, which is what an encoding can carry."""
    return [
        Rectangle(x, y, width, height).intersect(area)
        for y in range(area.y, area.bottom, height)
        for x in range(area.x, area.right, width)
    ]


def cut(pixels: Pixels, area: Rectangle, part: Rectangle) -> Pixels:
    """The pixels of `part`, which lies inside `area`, out of those of `area`; contiguous."""
    top, left = part.y - area.y, part.x - area.x
    return np.ascontiguousarray(pixels[top : top + part.height, left : left + part.width])
