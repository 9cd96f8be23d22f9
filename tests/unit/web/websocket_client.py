"""A WebSocket client that may do everything wrong, and a protocol that echoes."""

import asyncio
import base64
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

KEY = base64.b64encode(b"0123456789abcdef").decode()
REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{{more}}\r\n"
)


def frame(
    payload: bytes,
    opcode: int = 2,
    *,
    fin: bool = True,
    mask: bytes | None = b"\x12\x34\x56\x78",
    bits: int = 0,
) -> bytes:
    """A client's frame; `mask` None: unmasked."""
    head = bytes([(0x80 if fin else 0) | bits | opcode])
    flag = 0x80 if mask is not None else 0
    if len(payload) < 126:
        head += bytes([flag | len(payload)])
    elif len(payload) < 65536:
        head += bytes([flag | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", len(payload))
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


@dataclass
class RawClient:
    """The other end of a connection, frame by frame."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def upgrade(self, path: str = "/websockify", more: str = "") -> None:
        """Does the opening handshake; `more`: further header lines."""
        self.send(REQUEST.format(path=path, more=more).encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, second = await self.reader.readexactly(2)
        assert first & 0x80
        assert not second & 0x80
        length = second
        if second == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif second == 127:
            (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
        return first & 0xF, await self.reader.readexactly(length)

    async def close_code(self) -> int:
        """The code of the close frame that comes next; the connection must end after it."""
        opcode, payload = await self.receive()
        assert opcode == 8, (opcode, payload)
        assert await self.reader.read() == b""
        return cast("int", struct.unpack_from(">H", payload)[0])

    async def close(self) -> None:
        """Ends the connection; whatever is unsent is dropped."""
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()


@dataclass
class Echo(asyncio.Protocol):
    """Sends back what it gets, and writes down what happens to it."""

    happened: list[str] = field(default_factory=list)
    received: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.happened.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.happened.append("pause")

    def resume_writing(self) -> None:
        self.happened.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.happened.append("lost")
        self.lost.set_result(exc)
