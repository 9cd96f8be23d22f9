"""How a client without the graphics pipeline gets its pixels: by bitmap updates, a tile at a time."""

from collections.abc import Callable

import numpy as np

from sidecar.broadcast.receiver import Receiver, Update
from sidecar.encode.encoders import encode
from sidecar.encode.form import Codec, Form, Segment
from sidecar.encode.rdp_colours import COLOURS, RGB888
from sidecar.rdp import fast_path, share_data
from sidecar.rdp.bitmap_update import update_payloads
from sidecar.rdp.capabilities import ClientCapabilities
from sidecar.rdp.fast_path import UpdateCode
from sidecar.rdp.receiver import FRAMES_IN_FLIGHT
from sidecar.rdp.surface_commands import frame_begin, frame_end
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import TILE, Frame
from sidecar.session.session import Session
from sidecar.transport.connection import QUEUE_LIMIT

LOWEST_DEPTH = 15
"""Bits per pixel; a client that wants fewer gets 16."""


class BitmapReceiver(Receiver):
    """Sends bitmap updates, framed for clients that acknowledge frames.

    `send` takes an update for a client that is active, `flush` sends what has been put together, `queued`
    tells how many bytes have not left yet.
    """

    __slots__ = (
        "_blanked",
        "_compression_header",
        "_depth",
        "_flush",
        "_frame_id",
        "_framed",
        "_max_size",
        "_queued",
        "_send",
        "_unacknowledged",
        "shown",
    )

    def __init__(
        self,
        session: Session,
        frame: Frame,
        capabilities: ClientCapabilities,
        *,
        send: Callable[[UpdateCode, bytes], None],
        flush: Callable[[], None],
        queued: Callable[[], int],
        fail: Callable[[BaseException], None],
    ) -> None:
        super().__init__(session, frame, form_for(capabilities), fail=fail)
        self._send = send
        self._flush = flush
        self._queued = queued
        self._frame_id = 0
        self._unacknowledged: list[int] = []
        self.shown = True
        """Whether the client's window can be seen."""
        self.activated(capabilities)

    def activated(self, capabilities: ClientCapabilities) -> None:
        """Begins anew with a client that shows nothing, in the size that it has been given."""
        self.exact = form_for(capabilities)
        self._depth = self.exact.pixel_form.depth
        self._compression_header = capabilities.compression_header
        self._max_size = fast_path.MAX_FRAGMENT if capabilities.fast_path_output else share_data.MAX_PAYLOAD
        self._framed = (
            capabilities.fast_path_output
            and capabilities.frame_markers
            and bool(capabilities.frame_acknowledge)
        )
        self._unacknowledged.clear()
        self._blanked: tuple[Rectangle, ...] = ()
        self.canvas.adopt(self.canvas.frame, resize=False)

    @property
    def area(self) -> Rectangle | None:
        """What the client has room for, while it is shown."""
        return self.canvas.visible if self.shown else None

    @property
    def ready(self) -> bool:
        """Whether the client has acknowledged enough, and reads."""
        return not self.job and len(self._unacknowledged) < FRAMES_IN_FLIGHT and self._queued() <= QUEUE_LIMIT

    def expect_no_more_answers(self) -> None:
        """What was sent need not be acknowledged before the next update, which is the last."""
        self.job = False
        self._unacknowledged.clear()

    def acknowledged(self, frame_id: int) -> None:
        """The client has shown this frame, and those before it; one that was never sent is ignored."""
        if frame_id in self._unacknowledged:
            del self._unacknowledged[: self._unacknowledged.index(frame_id) + 1]

    def forget(self, area: Rectangle) -> None:
        """Has an area of the desktop sent again."""
        self.canvas.forget(area)
        if any(area.intersect(part).area for part in self._blanked):
            # black goes along with the next pixels
            self._blanked = ()
            self.canvas.forget(self.canvas.visible)

    def send_update(self, update: Update, now: float) -> None:
        """Sends one frame."""
        self.session.frames += 1
        segments = [*self._blank(), *update.segments]
        if self._framed:
            self._frame_id = (self._frame_id + 1) & 0xFFFFFFFF
            self._unacknowledged.append(self._frame_id)
            self._send(UpdateCode.SURFCMDS, frame_begin(self._frame_id))
        for payload in update_payloads(
            segments,
            bits_per_pixel=self._depth,
            max_size=self._max_size,
            compression_header=self._compression_header,
        ):
            self._send(UpdateCode.BITMAP, payload)
        if self._framed:
            self._send(UpdateCode.SURFCMDS, frame_end(self._frame_id))
        self._flush()

    def _blank(self) -> list[Segment]:
        """What blackens the part of the desktop that the screen does not reach, once for each size."""
        uncovered = tuple(self.canvas.uncovered())
        if uncovered == self._blanked:
            return []
        self._blanked = uncovered
        return [
            encode(tile, np.zeros((tile.height, tile.width), np.uint32), self.exact)
            for area in uncovered
            for tile in area.pieces(TILE, TILE)
        ]


def form_for(capabilities: ClientCapabilities) -> Form:
    """The form in which a client takes bitmaps."""
    depth = capabilities.colour_depth if capabilities.colour_depth >= LOWEST_DEPTH else 16
    colours = COLOURS[depth]
    if depth != 32:
        return Form(Codec.BITMAP_INTERLEAVED, colours)
    # who cannot do without an alpha plane gets one
    return Form(Codec.BITMAP_PLANAR, RGB888 if capabilities.planar else colours)
