"""How one client gets its pixels: by the graphics pipeline, or by bitmap updates."""

from collections.abc import Callable

from sidecar.broadcast.receiver import Receiver, Update
from sidecar.encode.form import Codec, Form
from sidecar.rdp.graphics_pipeline.pipeline import GraphicsPipeline
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame
from sidecar.session.session import Session
from sidecar.transport.connection import QUEUE_LIMIT

FRAMES_IN_FLIGHT = 2
"""Frames of one surface that the client has not acknowledged, at most."""

EXACT = Form(Codec.CLEARCODEC)
VIDEO = Form(Codec.AVC420)


class GraphicsReceiver(Receiver):
    """Sends frames of the graphics pipeline for one surface.

    `send` takes a message of the graphics channel, `queued` tells how many bytes have not left yet,
    `surfaces` is the number of receivers that share the pipeline.
    """

    __slots__ = ("_most_before", "_pipeline", "_queued", "_send", "_surface_id", "shown")

    def __init__(
        self,
        session: Session,
        frame: Frame,
        surface_id: int,
        pipeline: GraphicsPipeline,
        *,
        surfaces: int,
        send: Callable[[bytes], None],
        queued: Callable[[], int],
        fail: Callable[[BaseException], None],
    ) -> None:
        super().__init__(session, frame, EXACT, fail=fail)
        self._surface_id = surface_id
        self._pipeline = pipeline
        # each of the others may be about to send a frame too
        self._most_before = FRAMES_IN_FLIGHT * surfaces - surfaces
        self._send = send
        self._queued = queued
        self.shown = True
        """Whether the client's window can be seen."""

    @property
    def area(self) -> Rectangle | None:
        """The whole surface, while it is shown."""
        return self.canvas.frame.bounds if self.shown else None

    @property
    def ready(self) -> bool:
        """Whether the client has acknowledged enough, and reads."""
        return (
            not self.job
            and self._pipeline.may_send
            and self._pipeline.unacknowledged <= self._most_before
            and self._queued() <= QUEUE_LIMIT
        )

    def expect_no_more_answers(self) -> None:
        """What was sent need not be acknowledged before the next update, which is the last."""
        self.job = False
        self._pipeline.expect_no_acknowledgement()

    def forget(self, area: Rectangle) -> None:
        """Has an area of the surface sent again."""
        self.canvas.forget(area)

    def send_update(self, update: Update, now: float) -> None:
        """Sends one frame."""
        self.session.frames += 1
        self._send(self._pipeline.frame([(self._surface_id, segment) for segment in update.segments], now))
