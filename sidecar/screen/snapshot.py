"""What a console shows at one moment, with its pointer where that is wanted."""

import numpy as np

from sidecar.screen.cursor import Cursor
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame, Pixels


def snapshot(frame: Frame, cursor: Cursor | None = None, position: tuple[int, int] = (0, 0)) -> Pixels:
    """A copy of `frame`: (height, width), uint32, 0x00RRGGBB.

    `cursor` is drawn over it with its hot spot at `position`, as far as it lies on the screen. May be called
    on any thread.
    """
    pixels = frame.snapshot(frame.bounds)
    if cursor is None:
        return pixels
    left, top = position[0] - cursor.hot_x, position[1] - cursor.hot_y
    area = Rectangle(left, top, cursor.width, cursor.height).intersect(frame.bounds)
    if area.area:
        below = pixels[area.y : area.bottom, area.x : area.right]
        below[:] = _blended(
            below, cursor.pixels[area.y - top : area.bottom - top, area.x - left : area.right - left]
        )
    return pixels


def _blended(below: Pixels, above: Pixels) -> Pixels:
    """`above`, with straight alpha, over `below`."""
    alpha = above >> np.uint32(24)
    rest = np.uint32(255) - alpha
    result = np.zeros_like(below)
    for shift in map(np.uint32, (16, 8, 0)):
        mixed = (above >> shift & np.uint32(255)) * alpha + (below >> shift & np.uint32(255)) * rest
        result |= (mixed + np.uint32(127)) // np.uint32(255) << shift
    return result
