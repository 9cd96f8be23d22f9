"""Changed tiles as few rectangles."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Frame

MAX_TILES: Final = 64
"""Tiles of a rectangle unless told: small enough to stay in a core's cache and to share out to cores."""

MAX_COLUMNS: Final = 32
"""Widest rectangle in tiles: 2048 pixels (Tight, facts: RFB section 4.2)."""


def rectangles(mask: NDArray[np.bool_], frame: Frame, max_tiles: int = MAX_TILES) -> list[Rectangle]:
    """Rectangles in pixels that cover the tiles set in `mask` ((tile rows, tile columns)) and no other.

    Each is at most 32 tiles wide and of at most `max_tiles` (at least 1) tiles, and ends at the frame's
    edge. They do not overlap, come from the top down and from left to right, and are the same for the same
    mask. Long ones are cut at places that do not depend on the mask, so that sessions whose masks differ
    elsewhere still get the same rectangles.
    """
    rows, columns = mask.shape
    # a column of clean tiles on the right ends every run; one entry in front begins the first
    padded = np.zeros(rows * (columns + 1) + 1, np.bool_)
    padded[1:].reshape(rows, columns + 1)[:, :columns] = mask
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    widest = min(MAX_COLUMNS, max_tiles)
    found: list[Rectangle] = []
    # columns of a run -> the number of the rectangle that ends above the present row
    open_runs: dict[tuple[int, int], int] = {}
    open_row = -1
    continued: dict[tuple[int, int], int] = {}
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        row, left = divmod(begin, columns + 1)
        right = left + end - begin
        if row != open_row:
            open_runs = continued if row == open_row + 1 else {}
            continued = {}
            open_row = row
        while left < right:
            stop = min(right, (left // widest + 1) * widest)
            run = (left, stop)
            highest = _power_of_two_below(max_tiles // (stop - left))
            above = open_runs.get(run) if row % highest else None
            bottom = min((row + 1) * TILE, frame.height)
            if above is None:
                x, y = left * TILE, row * TILE
                continued[run] = len(found)
                found.append(Rectangle(x, y, min(stop * TILE, frame.width) - x, bottom - y))
            else:
                continued[run] = above
                x, y, width, _ = found[above]
                found[above] = Rectangle(x, y, width, bottom - y)
            left = stop
    return found


def clip(parts: Iterable[Rectangle], area: Rectangle) -> list[Rectangle]:
    """What of each rectangle lies inside `area`; those outside are left out."""
    return [inside for part in parts if (inside := part.intersect(area)).width]


def _power_of_two_below(number: int) -> int:
    """The largest power of two that is not above `number` (1 or more)."""
    return 1 << number.bit_length() - 1
