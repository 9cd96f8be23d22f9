"""Rectangles on a screen, in pixels."""

from typing import NamedTuple


class Rectangle(NamedTuple):
    """`width` x `height` pixels whose upper left one is at `x`, `y`."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column that is not covered any more."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row that is not covered any more."""
        return self.y + self.height

    @property
    def area(self) -> int:
        """Pixels covered."""
        return self.width * self.height

    def intersect(self, other: "Rectangle") -> "Rectangle":
        """What both cover; an empty one (width or height 0) when they do not meet."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width = min(self.right, other.right) - x
        height = min(self.bottom, other.bottom) - y
        if width <= 0 or height <= 0:
            return Rectangle(x, y, 0, 0)
        return Rectangle(x, y, width, height)

    def pieces(self, width: int, height: int) -> "list[Rectangle]":
        """All of it, row by row, in pieces of at most this size."""
        return [
            Rectangle(x, y, width, height).intersect(self)
            for y in range(self.y, self.bottom, height)
            for x in range(self.x, self.right, width)
        ]
