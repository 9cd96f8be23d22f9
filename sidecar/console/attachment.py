"""One open stream, without input or output: what each side may still send."""

from sidecar.console.connection import ClientConnection
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.stream_messages import (
    MAX_CREDIT,
    Announce,
    Break,
    Close,
    Credit,
    Data,
    Open,
    Opened,
    Rights,
)
from sidecar.vnc.wire import StreamEnd, StreamFlag

WINDOW = 128 * 1024
"""Bytes that the server may have sent and that were not shown yet: all that a slow terminal costs."""

LARGEST_DATA = 16 * 1024
"""Bytes of one message of ours: what is typed behind a large paste is not far behind."""


class Attachment:
    """A stream from `open` on. Messages go through `connection`, whose `outgoing` is to be sent then."""

    def __init__(self, connection: ClientConnection, port: Announce, *, write: bool, history: bool) -> None:
        self._connection = connection
        self._expected = WINDOW
        """Bytes that the server may send still."""
        self._shown = 0
        """Bytes that were shown, and for which no credit was given yet."""
        self._credit = 0
        self._wants_to_write = write
        self.port = port
        self.may_write = False
        """Whether what is sent reaches the port."""
        flags = StreamFlag.WRITE if write else StreamFlag(0)
        if history:
            flags |= StreamFlag.HISTORY
        connection.send(Open(port.stream, flags, WINDOW))

    @property
    def credit(self) -> int:
        """Bytes that may be sent now."""
        return self._credit

    def opened(self, message: Opened) -> None:
        """The server has opened it."""
        self._credit = min(message.credit, MAX_CREDIT)
        self.righted(message)

    def righted(self, message: Opened | Rights) -> None:
        """The server says whether we may write."""
        self.may_write = self._wants_to_write and StreamFlag.WRITE in message.flags

    def received(self, message: Data) -> None:
        """Raises RemoteError (OVERSIZED) where the server sends more than it may."""
        self._expected -= len(message.data)
        if self._expected < 0:
            raise RemoteError(Reason.OVERSIZED, "The server has sent more of a stream than it may.")

    def shown(self, size: int) -> None:
        """`size` bytes have left for the terminal; gives credit for them, in not too small portions."""
        self._shown += size
        if self._shown >= WINDOW // 4:
            self._connection.send(Credit(self.port.stream, self._shown))
            self._expected += self._shown
            self._shown = 0

    def credited(self, message: Credit) -> None:
        """The server takes more."""
        self._credit = min(self._credit + message.credit, MAX_CREDIT)

    def send(self, data: bytes | bytearray) -> int:
        """Sends as much as may be sent at once; how many bytes: the first so many."""
        part = bytes(data[: min(self._credit, LARGEST_DATA)])
        if part:
            self._credit -= len(part)
            self._connection.send(Data(self.port.stream, part))
        return len(part)

    def send_break(self) -> None:
        """As long a break as is usual."""
        self._connection.send(Break(self.port.stream))

    def close(self) -> None:
        """We are done."""
        self._connection.send(Close(self.port.stream, StreamEnd.DONE))
