"""What one client's screen holds, tile by tile."""

import numpy as np
from numpy.typing import NDArray

from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Frame, Versions

TileMask = NDArray[np.bool_]


class Canvas:
    """The picture as one client has it: its size, and for every tile the version that was last sent.

    `width` and `height` are those that the client knows. They differ from the frame's only for a client
    that cannot be told of another size: it sees what fits.
    """

    __slots__ = ("frame", "height", "lossy", "sent", "width")

    def __init__(self, frame: Frame) -> None:
        self.width = frame.width
        self.height = frame.height
        self.frame = frame
        self.sent: Versions = np.zeros_like(frame.versions)
        self.lossy: TileMask = np.zeros(frame.versions.shape, np.bool_)

    def adopt(self, frame: Frame, *, resize: bool) -> None:
        """Goes over to another frame, of which nothing was sent yet; with `resize` to its size as well."""
        self.frame = frame
        if resize:
            self.width, self.height = frame.width, frame.height
        self.sent = np.zeros_like(frame.versions)
        self.lossy = np.zeros(frame.versions.shape, np.bool_)

    @property
    def bounds(self) -> Rectangle:
        """The client's whole screen."""
        return Rectangle(0, 0, self.width, self.height)

    @property
    def visible(self) -> Rectangle:
        """The part of the frame that the client has room for."""
        return self.bounds.intersect(self.frame.bounds)

    def uncovered(self) -> list[Rectangle]:
        """The parts of the client's screen that the frame does not reach, at most two."""
        visible = self.visible
        parts = [
            Rectangle(visible.right, 0, self.width - visible.right, visible.bottom),
            Rectangle(0, visible.bottom, self.width, self.height - visible.bottom),
        ]
        return [part for part in parts if part.area]

    def forget(self, area: Rectangle) -> None:
        """Has the tiles that `area` touches sent again."""
        self.sent[tiles_of(area.intersect(self.frame.bounds))] = 0

    def dirty(self, versions: Versions, area: Rectangle) -> TileMask:
        """The tiles touching `area` whose version the client does not have."""
        mask: TileMask = versions != self.sent
        visible = area.intersect(self.visible)
        if visible != self.frame.bounds:
            inside = np.zeros_like(mask)
            inside[tiles_of(visible)] = True
            mask &= inside
        return mask


def tiles_of(area: Rectangle) -> tuple[slice, slice]:
    """The rows and columns of the tiles that `area` touches, to index an array of tiles."""
    if not area.area:
        return slice(0, 0), slice(0, 0)
    return (
        slice(area.y // TILE, -(-area.bottom // TILE)),
        slice(area.x // TILE, -(-area.right // TILE)),
    )
