"""What a broadcast knows of one who watches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from sidecar.broadcast.canvas import Canvas
from sidecar.encode.form import Form, Segment
from sidecar.screen.rectangle import Rectangle
from sidecar.screen.surface import Frame
from sidecar.session.session import Session

if TYPE_CHECKING:
    from sidecar.broadcast.message import Message


class Update:
    """What changed, encoded: the same object for all who get the same."""

    __slots__ = ("_assembled", "segments")

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = segments
        self._assembled: dict[Hashable, bytes] = {}

    def assembled(self, variant: Hashable, assemble: Callable[[], bytes]) -> bytes:
        """The message of these segments as `assemble` makes it, made once for each `variant`."""
        message = self._assembled.get(variant)
        if message is None:
            message = self._assembled[variant] = assemble()
        return message


class Receiver(ABC):
    """The picture side of one connection: what its client shows, and whether it may be sent more.

    `exact`: the form of what must be shown as it is. `lossy`: the form of what moves, None where the client
    allows no losses. `job`: the update that is being encoded for it; the broadcast sets and clears it. `fail`
    is called when its picture cannot be made, `adopt_frame` when the screen has another size.
    """

    __slots__ = ("adopt_frame", "canvas", "exact", "fail", "job", "lossy", "message", "session")

    def __init__(
        self, session: Session, frame: Frame, exact: Form, *, fail: Callable[[BaseException], None]
    ) -> None:
        self.canvas = Canvas(frame)
        self.exact = exact
        self.lossy: Form | None = None
        self.job: object | None = None
        self.session = session
        """The record in which updates are counted."""
        self.message: Message | None = None
        """What lies over its picture."""
        self.fail = fail
        self.adopt_frame: Callable[[Frame], None] = self._keep_size

    def cover(self, message: "Message | None") -> None:
        """Lays a message over the picture, in place of one before, or takes it away, with what comes next.

        The caller has the broadcast wake for it.
        """
        canvas = self.canvas
        if self.message is not None:
            canvas.forget(self.message.close())
        self.message = message
        if message is not None:
            canvas.forget(message.place(canvas.visible, self.exact))

    def update(self, update: Update, now: float) -> None:
        """Sends what changed, and the message again where it lies over that.

        `now`: seconds, never going back.
        """
        if self.message is not None:
            update = self.message.over(update, self.canvas.visible, self.exact)
        self.send_update(update, now)

    def _keep_size(self, frame: Frame) -> None:
        """What is done about another size until somebody puts a better answer into `adopt_frame`."""
        self.canvas.adopt(frame, resize=False)

    @property
    @abstractmethod
    def area(self) -> Rectangle | None:
        """What the client wants to be told of now, if anything."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether it wants an update and has room for one."""

    @abstractmethod
    def send_update(self, update: Update, now: float) -> None:
        """Sends an update as it is. `now`: as for `update`."""
