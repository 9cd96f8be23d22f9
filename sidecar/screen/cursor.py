"""The pointer's picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_CURSOR_EDGE = 256
"""TigerVNC ends a connection that sends a larger one (facts: RFB section 3)."""


@dataclass(frozen=True, slots=True, eq=False)
class Cursor:
    """A picture of at most 256x256 pixels; compared by identity, since a new shape is a new object.

    `pixels`: (height, width), uint32, 0xAARRGGBB with straight (not premultiplied) alpha.
    The hot spot lies inside the picture.
    """

    pixels: NDArray[np.uint32]
    hot_x: int
    hot_y: int

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])
