"""Sound over real sockets: what a server owes and sends, and a listener that stops reading."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.synthetic_guest import SyntheticGuest
from support.waiting import DEADLINE, eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.session.registry import Registry
from sidecar.vnc.audio import audio_tunnel
from sidecar.vnc.capabilities import Extension
from sidecar.vnc.server import VncServer

ENABLE = bytes.fromhex("ff 01 0000")
ACKNOWLEDGEMENT = struct.pack(">BxHHHHHi", 0, 1, 0, 0, 0, 0, -259)
CHUNK_SIZE = 17640
"""Bytes: 100 ms of the default form."""


class Listener:
    """A client that wants sound and no picture."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard: list[int] = []
        """Numbers of the chunks, see `chunk`."""

    @classmethod
    async def connect(cls, port: int, encodings: tuple[int, ...] = (-259,)) -> "Listener":
        connection = socket.socket()
        # before it connects, or else the kernel takes megabytes for it
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        self = cls(*await asyncio.open_connection(sock=connection, limit=CHUNK_SIZE))
        self.writer.write(b"RFB 003.008\n\x01\x01" + struct.pack(f">BxH{len(encodings)}i", 2, 1, *encodings))
        # version, one security type, its result, the desktop up to its name
        await self.reader.readexactly(12 + 2 + 4 + 20)
        (length,) = struct.unpack(">I", await self.reader.readexactly(4))
        await self.reader.readexactly(length)
        return self

    async def listen(self) -> None:
        """Takes chunks until it is cancelled."""
        while True:
            header = await self.reader.readexactly(8)
            assert header == bytes.fromhex("ff 01 0002") + struct.pack(">I", CHUNK_SIZE)
            data = await self.reader.readexactly(CHUNK_SIZE)
            (number,) = struct.unpack_from(">I", data)
            assert data == chunk(number)
            self.heard.append(number)

    def close(self) -> None:
        self.writer.transport.abort()


def chunk(number: int) -> bytes:
    return struct.pack(">I", number) * (CHUNK_SIZE // 4)


@contextlib.asynccontextmanager
async def served(guest: SyntheticGuest) -> AsyncIterator[tuple[Registry, int]]:
    """A server, as its registry and its port."""
    registry = Registry()
    with ThreadPoolExecutor(1) as pool, contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        async with VncServer(
            guest,
            registry,
            broadcasts,
            Seats(guest),
            layout=Layout("us"),
            tunnels=[audio_tunnel(guest.audio)],
            offered=Extension.QEMU_AUDIO,
        ) as server:
            yield registry, await server.listen_tcp("127.0.0.1", 0)


@contextlib.asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[None]:
    task = asyncio.create_task(listener.listen())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def turned_on(port: int) -> Listener:
    """A listener that has been told that a stream has begun."""
    listener = await Listener.connect(port)
    assert await listener.reader.readexactly(16) == ACKNOWLEDGEMENT
    listener.writer.write(ENABLE)
    assert await listener.reader.readexactly(4) == bytes.fromhex("ff 01 0001")
    return listener


async def test_a_listener_that_does_not_read_misses_sound_and_nobody_else_does() -> None:
    guest = SyntheticGuest()
    guest.audio.begin()
    played = 0

    async def play() -> None:
        """The next chunk, and time until somebody who reads has it."""
        nonlocal played
        guest.audio.play(chunk(played))
        played += 1
        async with asyncio.timeout(DEADLINE):
            while len(other.heard) < played:
                await asyncio.sleep(0.001)

    async with served(guest) as (registry, port):
        deaf = await turned_on(port)
        (session,) = registry
        other = await turned_on(port)
        async with listening(other):
            while not session.audio_drop_outs:
                assert played < 3000, "the kernel takes everything"
                await play()
            lost = played - 1
            async with listening(deaf):
                while lost not in range(max(deaf.heard, default=0)):
                    await play()
        assert other.heard == list(range(played))
        # all that the queue had, then what is played now
        assert deaf.heard[:lost] == list(range(lost))
        assert lost not in deaf.heard
        assert deaf.heard == sorted(set(deaf.heard))
        assert [each.audio_drop_outs for each in registry if each is not session] == [0]
        deaf.close()
        other.close()
        await eventually(lambda: not guest.audio.listeners, "nobody is listened for")


@pytest.mark.parametrize(
    ("encodings", "message"),
    [
        pytest.param((0,), ENABLE, id="not agreed"),
        pytest.param((-259,), bytes.fromhex("ff 01 0002 03 02 00000000"), id="no rate"),
        pytest.param((-259,), bytes.fromhex("ff 01 0002 03 00 0000ac44"), id="no channels"),
        pytest.param((-259,), bytes.fromhex("ff 01 0002 09 02 0000ac44"), id="no format"),
        pytest.param((-259,), bytes.fromhex("ff 01 0003"), id="no operation"),
    ],
)
async def test_what_makes_no_sense_ends_that_session_alone(
    encodings: tuple[int, ...], message: bytes
) -> None:
    guest = SyntheticGuest()
    guest.audio.begin()
    async with served(guest) as (registry, port):
        listener = await turned_on(port)
        (session,) = registry
        bad = await Listener.connect(port, encodings)
        bad.writer.write(message)
        await eventually(lambda: list(registry) == [session], "that session has ended")
        async with listening(listener):
            guest.audio.play(chunk(1))
            await eventually(lambda: listener.heard == [1], "the other one goes on")
        bad.close()
        listener.close()
