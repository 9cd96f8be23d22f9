"""A picture cut into the small tiles that Hextile and ZRLE are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TileGroup:
    """Tiles of one size.

    `pixels`: (tile rows, height, tile columns, width), a view of the picture, be it of pixels or of their
    indices. `places`: for each tile, row by row, its number among all tiles of the picture.
    """

    pixels: NDArray[Any]
    places: NDArray[np.intp]

    @property
    def height(self) -> int:
        """Rows of pixels of a tile."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Columns of pixels of a tile."""
        return int(self.pixels.shape[3])


def tile_count(pixels: NDArray[Any], edge: int) -> int:
    """How many tiles of `edge` x `edge` cover the picture."""
    height, width = map(int, pixels.shape)
    return -(-height // edge) * -(-width // edge)


def tile_groups(pixels: NDArray[Any], edge: int) -> Iterator[TileGroup]:
    """The whole tiles, then the narrow ones at the right, the low ones at the bottom and the corner."""
    height, width = pixels.shape
    columns = -(-width // edge)
    for top, tile_height, tile_rows in _spans(height, edge):
        for left, tile_width, tile_columns in _spans(width, edge):
            area = pixels[top : top + tile_rows * tile_height, left : left + tile_columns * tile_width]
            # splitting axes never copies
            view = area.reshape(tile_rows, tile_height, tile_columns, tile_width)
            first = top // edge * columns + left // edge
            rows = np.arange(tile_rows) * columns + first
            yield TileGroup(view, (rows[:, np.newaxis] + np.arange(tile_columns)).reshape(-1))


def _spans(length: int, edge: int) -> list[tuple[int, int, int]]:
    """Where tiles of one length begin, that length, and how many there are: whole ones, then the rest."""
    whole, rest = divmod(length, edge)
    spans = []
    if whole:
        spans.append((0, edge, whole))
    if rest:
        spans.append((whole * edge, rest, 1))
    return spans
