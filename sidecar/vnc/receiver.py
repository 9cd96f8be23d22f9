"""How much of the picture one client may be sent, and when."""

from collections.abc import Callable
from struct import Struct

from sidecar.broadcast.receiver import Receiver, Update
from sidecar.encode.form import Form
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame
from sidecar.session.session import Session
from sidecar.transport.connection import QUEUE_LIMIT
from sidecar.vnc.messages import update_message

UPDATES_IN_FLIGHT = (2, 16)
"""Fewest and most unanswered fences in continuous mode; between them the round trip decides."""

FRAME_TIME = 1 / 30

FENCE_PAYLOAD = Struct(">I")


class UpdateReceiver(Receiver):
    """The update side of one connection: what its client asked for, what is under way.

    Without input or output of its own: `write` takes the bytes for the client, `queued` tells how many of
    them have not left yet.
    """

    __slots__ = (
        "_again",
        "_fences_answered",
        "_fences_sent",
        "_sent_at",
        "_window",
        "before_update",
        "continuous",
        "fence",
        "queued",
        "requested",
        "stream_begun",
        "write",
    )

    def __init__(
        self,
        session: Session,
        frame: Frame,
        exact: Form,
        *,
        write: Callable[[bytes], None],
        queued: Callable[[], int],
        fail: Callable[[BaseException], None],
    ) -> None:
        super().__init__(session, frame, exact, fail=fail)
        self.requested: Rectangle | None = None
        """The area of the client's unanswered request."""
        self.continuous: Rectangle | None = None
        """The area of which the client wants updates without asking."""
        self.fence: Callable[[bytes], bytes] | None = None
        """Builds the fence that paces continuous updates; None when the client knows no fences."""
        self.stream_begun = False
        """Its zlib stream of Zlib or ZRLE has had its header."""
        self.write = write
        self.queued = queued
        self.before_update: Callable[[], None] | None = None
        """Called before the next update, to send what goes before it."""
        self._again: Rectangle | None = None
        """What the client asked for whole while an update was encoded that does not hold it."""
        self._fences_sent = 0
        self._fences_answered = 0
        self._sent_at: dict[int, float] = {}
        self._window = UPDATES_IN_FLIGHT[0]

    @property
    def area(self) -> Rectangle | None:
        """What the client wants to be told of now, if anything."""
        if self.continuous is None or self.requested is None:
            return self.continuous or self.requested
        return _around(self.continuous, self.requested)

    @property
    def ready(self) -> bool:
        """Whether it wants an update and has room for one."""
        return (
            not self.job
            and (self.requested is not None or self.continuous is not None)
            and (self.fence is None or self._fences_sent - self._fences_answered < self._window)
            and self.queued() <= QUEUE_LIMIT
        )

    def request(self, area: Rectangle, *, incremental: bool) -> None:
        """Takes a framebuffer update request; `area` may lie anywhere."""
        area = area.intersect(self.canvas.bounds)
        if not incremental:
            self.canvas.forget(area)
        if self.continuous is not None and incremental:
            return
        if self.job and not incremental:
            self._again = area if self._again is None else _around(self._again, area)
        # two requests before an answer: the answer covers both
        self.requested = area if self.requested is None else _around(self.requested, area)

    def send_update(self, update: Update, now: float) -> None:
        """Sends a framebuffer update, which answers the client's request."""
        if self.before_update is not None:
            self.before_update()
        self.requested, self._again = self._again, None
        self.session.frames += 1
        stream_begun = self.stream_begun
        self.write(
            update.assembled(stream_begun, lambda: update_message(update.segments, stream_begun=stream_begun))
        )
        self.stream_begun |= self.exact.encoding.is_streamed
        if self.continuous is not None and self.fence is not None:
            self._fences_sent += 1
            self._sent_at[self._fences_sent] = now
            self.write(self.fence(FENCE_PAYLOAD.pack(self._fences_sent)))

    def fence_answered(self, payload: bytes, now: float) -> None:
        """Takes the client's answer to a fence of `send_update`; any other is ignored."""
        if len(payload) != FENCE_PAYLOAD.size:
            return
        (number,) = FENCE_PAYLOAD.unpack(payload)
        sent_at = self._sent_at.get(number)
        if sent_at is None:
            return
        # answers come in order: one that was left out never comes
        self._sent_at = {fence: when for fence, when in self._sent_at.items() if fence > number}
        self._fences_answered = max(self._fences_answered, number)
        self.session.round_trip = now - sent_at
        fewest, most = UPDATES_IN_FLIGHT
        # one more than fit into a round trip keeps the line full without filling its buffers
        self._window = max(fewest, min(most, 1 + round((now - sent_at) / FRAME_TIME)))

    def end_continuous(self) -> None:
        """Goes back to updates on request; fences on their way need no answer any more."""
        self.continuous = None
        self._sent_at.clear()
        self._fences_answered = self._fences_sent


def _around(one: Rectangle, other: Rectangle) -> Rectangle:
    """The smallest rectangle that holds both."""
    x, y = min(one.x, other.x), min(one.y, other.y)
    right, bottom = max(one.right, other.right), max(one.bottom, other.bottom)
    return Rectangle(x, y, right - x, bottom - y)
