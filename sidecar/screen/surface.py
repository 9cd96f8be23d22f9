"""The latest pixels of one console, with a version for every 64x64 tile.

One thread writes (the listener's), any thread reads, and nobody locks. That is sound because a writer
first writes the pixels and then raises the versions, while a reader first takes the versions and then the
pixels: what a reader holds under a version is never older than that version, and what is newer comes
again under a higher one.
"""

import numpy as np
from numpy.typing import NDArray

from sidecar.screen.rectangle import Rectangle

TILE = 64
"""Edge of a tile in pixels."""

MAX_EDGE = 16384
"""Widest and highest screen that is believed; larger ones are an error of the sender."""

RGB_MASK = np.uint32(0x00FFFFFF)

Pixels = NDArray[np.uint32]
Versions = NDArray[np.uint32]


class Frame:
    """The pixels of a screen of one size; a screen that changes its size gets a new frame.

    `pixels`: (height, width), uint32, 0x00RRGGBB. `versions`: (tile rows, tile columns), uint32; each is
    the value that the surface's clock had when that tile last changed, so versions never repeat.
    """

    __slots__ = ("height", "pixels", "versions", "width")

    def __init__(self, width: int, height: int, version: int) -> None:
        if not (1 <= width <= MAX_EDGE and 1 <= height <= MAX_EDGE):
            raise ValueError(f"no screen is {width}x{height}")
        self.width = width
        self.height = height
        self.pixels: Pixels = np.zeros((height, width), np.uint32)
        self.versions: Versions = np.full((-(-height // TILE), -(-width // TILE)), version, np.uint32)

    @property
    def bounds(self) -> Rectangle:
        """The whole screen."""
        return Rectangle(0, 0, self.width, self.height)

    def snapshot(self, area: Rectangle) -> Pixels:
        """A contiguous copy of `area`, which must lie inside the frame; (area.height, area.width), uint32."""
        return self.pixels[area.y : area.bottom, area.x : area.right].copy()


class Surface:
    """What one console shows now. `frame` is replaced when the size changes."""

    __slots__ = ("_clock", "_scratch", "frame")

    def __init__(self, width: int = 640, height: int = 480) -> None:
        self._clock = 1
        self.frame = Frame(width, height, self._clock)
        self._scratch = _Scratch(width)

    def resize(self, width: int, height: int) -> None:
        """Puts a black frame of the new size in place; nothing happens when the size is the same."""
        if (width, height) != (self.frame.width, self.frame.height):
            self._clock += 1
            self.frame = Frame(width, height, self._clock)

    def grow(self, width: int, height: int) -> None:
        """Makes the frame at least this large and keeps what it shows."""
        old = self.frame
        if width <= old.width and height <= old.height:
            return
        self._clock += 1
        frame = Frame(max(width, old.width), max(height, old.height), self._clock)
        frame.pixels[: old.height, : old.width] = old.pixels
        self.frame = frame

    def write(self, x: int, y: int, pixels: Pixels) -> bool:
        """Puts `pixels` ((height, width), uint32, top byte ignored) at `x`, `y`; True if anything changed.

        Only tiles whose content really differs get a new version. Whatever lies outside the frame is cut
        off.
        """
        frame = self.frame
        area = Rectangle(x, y, pixels.shape[1], pixels.shape[0]).intersect(frame.bounds)
        if not area.area:
            return False
        if (area.width, area.height) != (pixels.shape[1], pixels.shape[0]):
            pixels = pixels[area.y - y : area.bottom - y, area.x - x : area.right - x]
        if self._scratch.pixels.shape[1] < area.width:
            self._scratch = _Scratch(area.width)
        changed = _write_tiles(frame, area, pixels, self._scratch)
        if not changed.any():
            return False
        self._clock += 1
        rows = slice(area.y // TILE, -(-area.bottom // TILE))
        columns = slice(area.x // TILE, -(-area.right // TILE))
        frame.versions[rows, columns][changed] = self._clock
        return True


def _write_tiles(frame: Frame, area: Rectangle, pixels: Pixels, scratch: "_Scratch") -> NDArray[np.bool_]:
    """Writes `pixels` into `area` of `frame`; which of the tiles that `area` touches differ now."""
    target = frame.pixels[area.y : area.bottom, area.x : area.right]
    # one tile row at a time, in memory that is used again: it stays in the processor's cache
    rows = []
    y = area.y
    column_starts = _tile_starts(area.x, area.right)
    while y < area.bottom:
        end = min((y // TILE + 1) * TILE, area.bottom)
        part = slice(y - area.y, end - area.y)
        new = np.bitwise_and(pixels[part], RGB_MASK, out=scratch.pixels[: end - y, : area.width])
        differs = np.not_equal(new, target[part], out=scratch.differs[: end - y, : area.width])
        changed = np.logical_or.reduceat(differs.any(axis=0), column_starts)
        if changed.any():
            target[part] = new
        rows.append(changed)
        y = end
    return np.array(rows)


class _Scratch:
    """Room for one row of tiles, which a writer uses again and again."""

    __slots__ = ("differs", "pixels")

    def __init__(self, width: int) -> None:
        self.pixels: Pixels = np.empty((TILE, width), np.uint32)
        self.differs: NDArray[np.bool_] = np.empty((TILE, width), np.bool_)


def _tile_starts(start: int, end: int) -> NDArray[np.intp]:
    """Offsets from `start` at which a new tile begins, the first being 0."""
    starts = np.arange(start // TILE * TILE, end, TILE) - start
    starts[0] = 0
    return starts
