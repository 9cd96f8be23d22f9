"""Where the consoles of a guest are on a client's desktop."""

from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.guest import Console
from sidecar.rdp.events import Monitor
from sidecar.screen.rectangle import Rectangle


@dataclass(frozen=True, slots=True)
class View:
    """One console on the client's desktop.

    `surface_id`: what the graphics pipeline calls it. `width`, `height`: of the console, in pixels. `area`:
    where it is on the desktop; of another size where the client scales it.
    """

    console: Console
    surface_id: int
    width: int
    height: int
    area: Rectangle

    def inside(self, x: int, y: int) -> tuple[int, int]:
        """The console's pixel that is shown at a place of the desktop; it may lie outside of the console."""
        x, y = x - self.area.x, y - self.area.y
        if (self.area.width, self.area.height) == (self.width, self.height):
            return x, y
        return x * self.width // self.area.width, y * self.height // self.area.height

    def outside(self, x: int, y: int) -> tuple[int, int]:
        """Where the desktop shows one of the console's pixels: a place that `inside` takes back to it, unless
        the desktop has fewer pixels."""
        across, down = -(-x * self.area.width // self.width), -(-y * self.area.height // self.height)
        return (
            self.area.x + min(max(across, 0), self.area.width - 1),
            self.area.y + min(max(down, 0), self.area.height - 1),
        )

    def part(self, area: Rectangle) -> Rectangle:
        """What of the console an area of the desktop shows; it may reach beyond it.

        Where the client scales that is all of it.
        """
        if (self.area.width, self.area.height) != (self.width, self.height):
            return Rectangle(0, 0, self.width, self.height)
        return area._replace(x=area.x - self.area.x, y=area.y - self.area.y)


@dataclass(frozen=True, slots=True)
class Layout:
    """The desktop: the consoles side by side, in their order, from the left."""

    views: tuple[View, ...]
    width: int
    height: int

    @property
    def monitors(self) -> list[Monitor]:
        """The views, as the client's window layout has them; the first one is the primary monitor."""
        if len(self.views) == 1:
            return [Monitor(Rectangle(0, 0, self.width, self.height), primary=True)]
        return [Monitor(view.area, primary=not number) for number, view in enumerate(self.views)]

    def at(self, x: int, y: int) -> View:
        """The view at a place of the desktop, or the nearest one to its left."""
        return next((view for view in reversed(self.views) if view.area.x <= x), self.views[0])


def side_by_side(consoles: Sequence[Console]) -> Layout:
    """Each console in its own size."""
    views: list[View] = []
    right = 0
    for number, console in enumerate(consoles):
        frame = console.surface.frame
        area = Rectangle(right, 0, frame.width, frame.height)
        views.append(View(console, number, frame.width, frame.height, area))
        right = area.right
    return Layout(tuple(views), right, max(view.height for view in views))


def fitted(console: Console, width: int, height: int) -> Layout:
    """One console on a desktop of another size, as large as it can be without a change of its shape."""
    frame = console.surface.frame
    shown_width = min(width, max(1, frame.width * height // frame.height))
    shown_height = min(height, max(1, frame.height * width // frame.width))
    area = Rectangle((width - shown_width) // 2, (height - shown_height) // 2, shown_width, shown_height)
    return Layout((View(console, 0, frame.width, frame.height, area),), width, height)
