"""An RFB client that opens streams (docs/rfb-streams.md), on top of the clients of `support.rfb_client`.

Written from the specification: its messages are its own, not those of the package.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.rfb_client import AsyncRfbClient
from support.rfb_session import Needs
from support.waiting import DEADLINE

STREAMS = 0x56445301
MESSAGE = 181
ANNOUNCE, WITHDRAW, OPEN, OPENED, CLOSE, DATA, CREDIT, RIGHTS, BREAK = range(9)
WRITE, HISTORY = 1, 2


@dataclass
class Stream:
    """What the client knows of one stream."""

    number: int
    kind: int
    flags: int
    name: str
    label: str
    is_open: bool = False
    withdrawn: bool = False
    closed: tuple[int, str] | None = None
    data: bytearray = field(default_factory=bytearray)
    """All that came since it was opened."""
    to_send: int = 0
    """Bytes that the server takes."""
    keeps_up: bool = True
    """Whether credit is given for what comes."""
    rights_told: int = 0
    """How often the server has said what the client may do."""
    unpaid: int = 0
    """Bytes that came and for which no credit was given yet."""


class StreamClient(AsyncRfbClient):
    """`streams` by name; `open` and `write` send, `receive` follows what the server says of streams too."""

    def __init__(self, **options: Any) -> None:
        encodings = (*options.pop("encodings", (0,)), STREAMS)
        super().__init__(encodings=encodings, **options)
        self.streams: dict[str, Stream] = {}
        self.agreed: int | None = None
        """The version of the extension that the server speaks."""
        self._by_number: dict[int, Stream] = {}

    async def follow(self, condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> None:
        """Takes what comes until `condition` holds, asking for pictures too."""
        await self.until(condition, what, deadline)

    async def open(self, name: str, flags: int = WRITE | HISTORY, credit: int = 65536) -> Stream:
        """Opens a stream that was announced, and returns when the server has answered."""
        await self.follow(lambda: name in self.streams, f"{name} is announced")
        stream = self.streams[name]
        stream.closed, stream.data, stream.unpaid = None, bytearray(), 0
        await self.say(OPEN, stream.number, struct.pack(">BI", flags, credit))
        await self.follow(lambda: stream.is_open or stream.closed, f"{name} is opened")
        return stream

    async def write(self, stream: Stream, data: bytes) -> None:
        """Writes all of it, as the server takes it."""
        while data:
            await self.follow(lambda: stream.to_send > 0, "the server takes more")
            part, data = data[: stream.to_send], data[stream.to_send :]
            stream.to_send -= len(part)
            await self.say(DATA, stream.number, part)

    async def close_stream(self, stream: Stream) -> None:
        stream.is_open = False
        await self.say(CLOSE, stream.number, b"\0\0\0")

    async def credit(self, stream: Stream, count: int) -> None:
        await self.say(CREDIT, stream.number, struct.pack(">I", count))

    async def send_break(self, stream: Stream) -> None:
        await self.say(BREAK, stream.number, b"\0\0")

    async def say(self, operation: int, stream: int, body: bytes = b"") -> None:
        await self.send(struct.pack(">BBHI", MESSAGE, operation, stream, len(body)) + body)

    def _rest_of(self, kind: int, start: int) -> Needs:
        """As in the base, and messages of streams, which are returned as (operation, stream, body)."""
        if kind != MESSAGE:
            return (yield from super()._rest_of(kind, start))
        operation, number, length = yield from self.unpack(">BHI")
        assert length <= 65536
        body = yield from self.needs(length)
        self._followed(operation, number, body)
        return operation, number, body

    def _pseudo(self, encoding: int, x: int, y: int, width: int, height: int) -> Needs:
        if encoding == STREAMS:
            assert (y, width, height) == (0, 0, 0)
            assert self.agreed is None
            self.agreed = x
            return
        yield from super()._pseudo(encoding, x, y, width, height)

    def _followed(self, operation: int, number: int, body: bytes) -> None:
        assert self.agreed == 1, "a stream's message before the extension was agreed on"
        if operation == ANNOUNCE:
            assert number not in self._by_number
            kind, flags, length = struct.unpack_from(">BBH", body)
            name, rest = body[4 : 4 + length], body[4 + length :]
            (length,) = struct.unpack_from(">H", rest)
            assert len(rest) == 2 + length
            stream = Stream(number, kind, flags, name.decode(), rest[2:].decode())
            self._by_number[number] = self.streams[stream.name] = stream
            return
        stream = self._by_number[number]
        match operation:
            case 1:
                assert not body
                stream.withdrawn, stream.is_open = True, False
                del self._by_number[number]
                if self.streams[stream.name] is stream:
                    del self.streams[stream.name]
            case 3:
                stream.flags, stream.to_send = struct.unpack(">BI", body)
                stream.is_open = True
            case 4:
                reason, length = struct.unpack_from(">BH", body)
                assert len(body) == 3 + length
                stream.closed, stream.is_open = (reason, body[3:].decode()), False
            case 5:
                stream.data += body
                stream.unpaid += len(body)
                if stream.keeps_up and stream.is_open:
                    paid, stream.unpaid = stream.unpaid, 0
                    self.outgoing += struct.pack(">BBHII", MESSAGE, CREDIT, number, 4, paid)
            case 6:
                stream.to_send += struct.unpack(">I", body)[0]
            case 7:
                stream.flags = stream.flags & HISTORY | body[0]
                stream.rights_told += 1
            case _:
                raise AssertionError(f"the server sent operation {operation}")
