"""A WebSocket that the server closes says why, by code and in words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from support.synthetic_guest import SyntheticGuest
from support.waiting import eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.session.registry import Policy, Registry, SharePolicy
from sidecar.session.state import EndReason
from sidecar.transport import connection
from sidecar.vnc.server import VncServer
from sidecar.web.server import WebServer, start_web


@pytest.fixture(autouse=True)
def quick_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READING_TIME", 0.1)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def web(registry: Registry) -> AsyncIterator[WebServer]:
    guest = SyntheticGuest()
    with ThreadPoolExecutor(1) as pool, contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        async with VncServer(guest, registry, broadcasts, Seats(guest), layout=Layout("us")) as vnc:
            web = await start_web([("127.0.0.1", 0)], lambda: vnc.protocol("websocket"))
            yield web
            await web.close()


@pytest.fixture
def url(web: WebServer) -> str:
    return f"ws://127.0.0.1:{web.ports[0]}/websockify"


async def log_in(connection: aiohttp.ClientWebSocketResponse) -> None:
    # all of a handshake without a password: version, security type, ClientInit
    await connection.send_bytes(b"RFB 003.008\n\x01\x01")


async def close_of(connection: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    """Code and reason of the close frame; what comes before it is taken and let go."""
    while True:
        message = await connection.receive()
        if message.type is aiohttp.WSMsgType.CLOSE:
            return int(message.data), str(message.extra)
        assert message.type is aiohttp.WSMsgType.BINARY


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (EndReason.GONE, 1012),
        (EndReason.SHUTDOWN, 1001),
        (EndReason.DISCONNECTED, 1000),
        (EndReason.SERVER_ERROR, 1011),
    ],
)
async def test_the_close_frame_tells_why_the_session_has_ended(
    url: str, registry: Registry, reason: EndReason, code: int
) -> None:
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as client_side:
        await log_in(client_side)
        await eventually(lambda: registry.count() == 1, "it is logged in")
        registry.end_all(reason)
        assert await close_of(client_side) == (code, reason.text)


async def test_one_that_is_refused_is_told_so(url: str, registry: Registry) -> None:
    registry.policy = Policy(share=SharePolicy.SINGLE)
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as first:
        await log_in(first)
        await eventually(lambda: registry.count() == 1, "the first is logged in")
        async with client.ws_connect(url) as second:
            await log_in(second)
            assert await close_of(second) == (1013, EndReason.OCCUPIED.text)


async def test_one_that_breaks_the_protocol_is_told_so(url: str) -> None:
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as client_side:
        await client_side.send_bytes(b"GET / HTTP/1.1\r\n")
        assert await close_of(client_side) == (1002, EndReason.PROTOCOL_ERROR.text)


async def test_a_web_server_that_ends_leaves_the_last_word_to_the_session(
    web: WebServer, url: str, registry: Registry
) -> None:
    """As the daemon ends: the registry first, then the web server, then what is behind it."""
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as client_side:
        await log_in(client_side)
        await eventually(lambda: registry.count() == 1, "it is logged in")
        registry.close(EndReason.GONE)
        closing = asyncio.ensure_future(web.close())
        assert await close_of(client_side) == (1012, EndReason.GONE.text)
        await closing
