"""A VNC viewer in a browser: the same server, by WebSocket."""

import asyncio
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import numpy as np
import pytest
from support.synthetic_guest import SyntheticConsole, SyntheticGuest

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.qnum import Qnum
from sidecar.input.seat import Seats
from sidecar.session.registry import Registry
from sidecar.vnc.server import VncServer
from sidecar.web.server import start_web


@pytest.fixture
async def registry() -> Registry:
    return Registry()


@pytest.fixture
def console() -> SyntheticConsole:
    return SyntheticConsole(width=320, height=200)


@pytest.fixture
async def url(registry: Registry, console: SyntheticConsole) -> AsyncIterator[str]:
    guest = SyntheticGuest(console)
    seats = Seats(guest)
    with ThreadPoolExecutor(1) as pool:
        broadcasts = Broadcasts(SegmentStore(pool))
        async with VncServer(guest, registry, broadcasts, seats, layout=Layout("us")) as vnc:
            web = await start_web([("127.0.0.1", 0)], lambda: vnc.protocol("websocket"))
            yield f"ws://127.0.0.1:{web.ports[0]}/websockify"
            await web.close()
    broadcasts.close()
    registry.close()
    seats.close()


class Viewer:
    """Reads a WebSocket as the byte stream that it carries."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self.connection = connection
        self._read = b""

    async def read(self, length: int) -> bytes:
        while len(self._read) < length:
            self._read += await self.connection.receive_bytes()
        data, self._read = self._read[:length], self._read[length:]
        return data

    async def enter(self) -> None:
        assert await self.read(12) == b"RFB 003.008\n"
        # cut where no message ends, as a WebSocket may
        await self.connection.send_bytes(b"RFB 003.")
        await self.connection.send_bytes(b"008\n")
        assert await self.read(2) == b"\x01\x01"
        await self.connection.send_bytes(b"\x01\x01")
        assert await self.read(4) == bytes(4)
        width, height = struct.unpack(">HH", await self.read(4))
        assert (width, height) == (320, 200)
        (length,) = struct.unpack(">16xI", await self.read(20))
        await self.read(length)


async def test_a_viewer_sees_the_screen_types_and_is_counted(
    url: str, registry: Registry, console: SyntheticConsole
) -> None:
    picture = np.arange(320 * 200, dtype=np.uint32).reshape(200, 320)
    console.surface.write(0, 0, picture)
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as connection:
        viewer = Viewer(connection)
        await viewer.enter()
        assert registry.count() == 1
        (session,) = registry
        assert session.transport == "websocket"
        await connection.send_bytes(struct.pack(">BxHi", 2, 1, 0))
        await connection.send_bytes(struct.pack(">BBHHHH", 3, 0, 0, 0, 320, 200))
        seen = np.zeros((200, 320), np.uint32)
        painted = 0
        while painted < 320 * 200:
            kind, count = struct.unpack(">BxH", await viewer.read(4))
            assert kind == 0
            for _ in range(count):
                x, y, width, height, encoding = struct.unpack(">HHHHi", await viewer.read(12))
                assert encoding == 0
                data = await viewer.read(width * height * 4)
                seen[y : y + height, x : x + width] = np.frombuffer(data, "<u4").reshape(height, width)
                painted += width * height
        assert np.array_equal(seen & 0xFFFFFF, picture)
        await connection.send_bytes(struct.pack(">BBxxI", 4, 1, ord("A")))
        while len(console.keyboard.log) < 3:
            await asyncio.sleep(0.005)
        assert console.keyboard.log == [("press", Qnum.SHIFT), ("press", Qnum.A), ("release", Qnum.SHIFT)]
    while registry.count():
        await asyncio.sleep(0.005)
    assert console.keyboard.log[3:] == [("release", Qnum.A)]
