"""The machine's serial ports as streams through one VNC session (docs/rfb-streams.md)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import WeakSet

from sidecar.guest import PortKind
from sidecar.log import get_logger
from sidecar.serial.history import after_line
from sidecar.serial.line import SerialLine, SerialLines
from sidecar.session.sight import names_port
from sidecar.vnc import messages
from sidecar.vnc.capabilities import ClientCapabilities, Owed
from sidecar.vnc.errors import Reason, RemoteError
from sidecar.vnc.stream_messages import (
    MAX_CREDIT,
    MAX_STREAM,
    VERSION,
    Announce,
    Break,
    Close,
    Credit,
    Data,
    Open,
    Opened,
    Rights,
    ServerStreamMessage,
    Unknown,
    Withdraw,
    pack,
)
from sidecar.vnc.tunnel import Line, TunnelFactory
from sidecar.vnc.wire import PseudoEncoding, StreamEnd, StreamFlag, StreamKind

log = get_logger(__name__)

MAX_OPEN: Final = 16
"""Streams that one session may have open."""

KEPT: Final = 256 * 1024
"""Bytes that wait for one client on one stream, above which the oldest are left out."""

WINDOW: Final = 16 * 1024
"""Bytes that a client may be ahead of the machine on one stream."""

SHARE: Final = 16 * 1024
"""Bytes queued for a client above which no stream adds to them, and the most that one message carries: half
of what holds back the picture is never of streams, so that it goes on beside a flood."""

QUEUE_CHECK: Final = 0.01
"""Seconds after which a queue is looked at again that did not become shorter: nobody tells below the
transport's high-water mark."""

_KINDS: Final = {PortKind.SERIAL: StreamKind.SERIAL, PortKind.MONITOR: StreamKind.MONITOR}
_NOTHING: Final = StreamFlag(0)


def streams_tunnel(lines: SerialLines) -> TunnelFactory:
    """Has sessions carry `lines`; the server must offer Extension.STREAMS besides."""
    return lambda line: StreamsTunnel(line, lines)


class StreamsTunnel:
    """See `sidecar.vnc.tunnel.Tunnel`."""

    def __init__(self, line: Line, lines: SerialLines) -> None:
        self._line = line
        self._lines = lines
        self._numbers: dict[SerialLine, int] = {}
        """The streams that the client knows of."""
        self._streams: dict[int, _Stream] = {}
        """Those that are open."""
        self._have_lost: WeakSet[SerialLine] = WeakSet()
        """Those of which the client has missed something."""
        self._agreed = False
        self._waits = False
        self._next_number = 0
        self._numbers_used_up = False
        self._timer: asyncio.Handle | None = None
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        """See `sidecar.vnc.tunnel.Tunnel`."""
        return {
            Open: self._open,
            Close: self._close,
            Data: self._data,
            Credit: self._credit,
            Break: self._break,
            Unknown: self._unknown,
        }

    def agreed(self, capabilities: ClientCapabilities, owed: Owed) -> None:
        """Announces the streams to a client that has said that it knows them; once, whatever lists follow."""
        if owed & Owed.STREAMS_ACK and not self._agreed:
            self._agreed = True
            self._line.write(
                messages.update_header(1)
                + messages.rectangle_header(VERSION, 0, 0, 0, PseudoEncoding.STREAMS)
            )
            self._unsubscribe = self._lines.changes.subscribe(self._follow)
            self._follow()

    def wait(self) -> None:
        """What comes is kept until `ready`."""
        self._waits = True

    def ready(self) -> None:
        """Tells what has changed meanwhile, and goes on."""
        self._waits = False
        if self._agreed:
            self._follow()
            for stream in self._streams.values():
                self._tell_rights(stream)
            self._pump()

    def close(self) -> None:
        """Gives every place up."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        for stream in self._streams.values():
            stream.seat.leave()
        self._streams.clear()

    # which there are

    def _follow(self) -> None:
        """Announces what has come and withdraws what is gone."""
        if self._waits:
            return
        names = self._line.session.consoles
        there = [line for line in self._lines.by_name.values() if names_port(names, line.name, line.label)]
        for line in [line for line in self._numbers if line not in there]:
            number = self._numbers.pop(line)
            stream = self._streams.pop(number, None)
            if stream is not None:
                stream.seat.leave()
            self._send(Withdraw(number))
        for line in there:
            if line not in self._numbers:
                number = self._numbers[line] = self._new_number()
                flags = StreamFlag.WRITE if line.allows(self._line.session) else _NOTHING
                self._send(Announce(number, _KINDS[line.kind], flags, line.name, line.label))

    def _new_number(self) -> int:
        """One that has not been used yet, or was not for as long as possible."""
        used = self._numbers.values()
        while True:
            number = self._next_number
            self._next_number = (number + 1) & MAX_STREAM
            self._numbers_used_up |= self._next_number == 0
            if number not in used:
                return number

    def _was_withdrawn(self, number: int) -> bool:
        return self._numbers_used_up or number < self._next_number

    # what the client says

    def _open(self, message: Open) -> None:
        number = message.stream
        if number in self._streams:
            raise RemoteError(Reason.MALFORMED, f"Stream {number} is open already.")
        line = next((line for line, known in self._numbers.items() if known == number), None)
        if line is None:
            if not self._was_withdrawn(number):
                raise RemoteError(Reason.MALFORMED, f"There never was a stream {number}.")
            # it may have been on its way when the stream was withdrawn
            self._send(Close(number, StreamEnd.GONE))
        elif len(self._streams) >= MAX_OPEN:
            self._send(Close(number, StreamEnd.LIMIT, f"At most {MAX_OPEN} streams can be open."))
        else:
            stream = self._streams[number] = _Stream(self, number, line, self._line, message)
            stream.told = stream.rights
            self._send(Opened(number, stream.told | (message.flags & StreamFlag.HISTORY), WINDOW))
            log.debug("stream opened", session=self._line.session.id, stream=line.name)
            self._pump()

    def _close(self, message: Close) -> None:
        stream = self._streams.pop(message.stream, None)
        if stream is not None:
            stream.seat.leave()

    def _data(self, message: Data) -> None:
        # what is for a stream that is not open may have crossed its end
        if (stream := self._streams.get(message.stream)) is not None:
            stream.take(message.data)

    def _credit(self, message: Credit) -> None:
        if (stream := self._streams.get(message.stream)) is not None:
            stream.credit = min(stream.credit + message.credit, MAX_CREDIT)
            self._pump()

    def _break(self, message: Break) -> None:
        stream = self._streams.get(message.stream)
        if stream is not None and stream.rights:
            # QEMU knows no length of a break
            stream.seat.send_break()

    def _unknown(self, message: Unknown) -> None:
        log.debug("unknown stream operation", session=self._line.session.id, operation=message.operation)

    # what is sent

    def _send(self, message: ServerStreamMessage) -> None:
        self._line.write(pack(message))

    def stream_received(self) -> None:
        """For streams: something is there to be sent."""
        if self._timer is None:
            self._pump()

    def stream_changed(self, stream: "_Stream") -> None:
        """For streams: it may or may not be written to any more."""
        if not self._waits:
            self._tell_rights(stream)

    def refuse_data(self, stream: "_Stream", count: int) -> None:
        """For streams: the client has written what it may not, and its credit is given back."""
        stream.told = stream.rights
        self._send(Rights(stream.number, stream.told))
        self.give_back(stream, count)

    def give_back(self, stream: "_Stream", count: int) -> None:
        """For streams: so many bytes of the client's have gone on."""
        stream.owed_credit += count
        # half of it at a time, not an answer for every key
        if stream.owed_credit >= WINDOW // 2:
            self._send(Credit(stream.number, stream.owed_credit))
            stream.granted += stream.owed_credit
            stream.owed_credit = 0

    def note_loss(self, line: SerialLine) -> None:
        """For streams: the client will miss something; said once of a line, however often it is opened."""
        if line not in self._have_lost:
            self._have_lost.add(line)
            log.info("output left out", session=self._line.session.id, stream=line.name)

    def _tell_rights(self, stream: "_Stream") -> None:
        rights = stream.rights
        if rights != stream.told:
            stream.told = rights
            self._send(Rights(stream.number, rights))

    def _pump(self) -> None:
        """Sends what may be sent, of all streams in turn, and comes back while the queue is too long."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        before = self._line.queued()
        sendable = [stream for stream in self._streams.values() if stream.sendable]
        while sendable and not self._waits:
            for stream in sendable:
                if self._line.queued() >= SHARE or self._waits:
                    break
                self._send(Data(stream.number, stream.next(SHARE)))
            else:
                sendable = [stream for stream in sendable if stream.sendable]
                continue
            break
        if sendable and not self._waits:
            # whose turn it is comes first the next time
            self._rotate(sendable[0].number)
            loop = asyncio.get_running_loop()
            # transports send at the end of a turn of the loop: what was short may be empty at the next one
            moved = before < SHARE
            self._timer = loop.call_soon(self._again) if moved else loop.call_later(QUEUE_CHECK, self._again)

    def _again(self) -> None:
        self._timer = None
        self._pump()

    def _rotate(self, number: int) -> None:
        self._streams[number] = self._streams.pop(number)


class _Stream:
    """One open stream of one client."""

    def __init__(
        self, tunnel: StreamsTunnel, number: int, line: SerialLine, client: Line, wish: Open
    ) -> None:
        self.number = number
        self.credit = min(wish.credit, MAX_CREDIT)
        """Bytes that the client takes."""
        self.granted = WINDOW
        """Bytes that the client may send."""
        self.owed_credit = 0
        """Bytes that have gone on and were not granted anew."""
        self.told = _NOTHING
        """The rights that the client knows of."""
        self._tunnel = tunnel
        self._line = line
        self._wants_to_write = bool(wish.flags & StreamFlag.WRITE)
        self._kept = bytearray(line.history if wish.flags & StreamFlag.HISTORY else b"")
        self._left_out = 0
        """Bytes that the client will not see, before those that are kept."""
        self._unwritten = bytearray()
        """What the client has sent and the port had no room for."""
        self.seat = line.join(client.session, self._received, self._changed, taken=self._taken)

    @property
    def rights(self) -> StreamFlag:
        """What the client may do now."""
        return StreamFlag.WRITE if self._wants_to_write and self.seat.may_write else _NOTHING

    @property
    def sendable(self) -> bool:
        """Whether there is something that the client takes."""
        return bool(self._kept) and self.credit > 0

    def next(self, most: int) -> bytes:
        """The next bytes for the client, at most so many; its credit is reduced by them."""
        if self._left_out:
            self._kept[:0] = left_out(self._left_out)
            self._left_out = 0
        count = min(most, self.credit, len(self._kept))
        data = bytes(memoryview(self._kept)[:count])
        del self._kept[:count]
        self.credit -= count
        return data

    def take(self, data: bytes) -> None:
        """Takes what the client has sent. Raises RemoteError where it is more than it may."""
        if len(data) > self.granted:
            raise RemoteError(Reason.OVERSIZED, f"More came on stream {self.number} than was granted.")
        self.granted -= len(data)
        if not self.rights:
            self._tunnel.refuse_data(self, len(data))
            return
        self._unwritten += data
        if len(self._unwritten) == len(data):
            # nothing waited before it
            self._write()

    def _write(self) -> None:
        count = self.seat.write(bytes(self._unwritten))
        del self._unwritten[:count]

    def _taken(self, count: int) -> None:
        if count:
            self._tunnel.give_back(self, count)
        elif self._unwritten:
            self._write()

    def _changed(self) -> None:
        if self._unwritten and not self.rights:
            # the machine or the right is gone, and it would be odd if this came later
            dropped = len(self._unwritten)
            self._unwritten.clear()
            self._tunnel.give_back(self, dropped)
        self._tunnel.stream_changed(self)

    def _received(self, data: bytes) -> None:
        self._kept += data
        over = len(self._kept) - KEPT
        if over > 0:
            del self._kept[:over]
            rest = after_line(self._kept)
            del self._kept[:rest]
            self._tunnel.note_loss(self._line)
            self._left_out += over + rest
        self._tunnel.stream_received()


def left_out(count: int) -> bytes:
    """What stands in a stream in place of so many bytes."""
    return f"\r\n[{count} bytes left out]\r\n".encode()
