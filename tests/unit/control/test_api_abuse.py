"""Requests that nobody sends by mistake: each gets an answer or an end, and the next client is served."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from api_house import ApiHouse

from sidecar.control import api
from sidecar.control.api_access import ApiAccess
from sidecar.web import http

STATUS = "/api/v1/status"
ADMIN_ONLY = b"PATCH /api/v1/settings HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
def house() -> Iterator[ApiHouse]:
    with contextlib.closing(ApiHouse()) as house:
        yield house


@pytest.fixture
async def port(house: ApiHouse) -> AsyncIterator[int]:
    async with house.serving(ApiAccess()) as server:
        port = await server.listen_tcp("127.0.0.1", 0)
        yield port
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get(STATUS) as answer:
                assert answer.status == 200


async def sent(port: int, request: bytes) -> bytes:
    """All that is answered to a request whose connection is not kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/status", 200),
        ("/api/v1/%73tatus", 200),
        ("/api/v1/../v1/status", 404),
        ("/api/v1/%2e%2e/v1/status", 404),
        ("/api/v1/./status", 404),
        ("//api/v1/status", 404),
        ("/api//v1/status", 404),
        ("/api/v1/status/", 404),
        ("/api/v1/status;x", 404),
        ("/api/v1%2fstatus", 404),
        ("/api/v1/status%00", 404),
        ("/api/v1/sessions/%2e%2e%2fsettings", 404),
        ("/api/v1/sessions/%00", 404),
        ("/api/v1/sessions/%ff", 404),
        ("/api/v1/status?%", 400),
        ("*", 400),
    ],
)
async def test_a_path_is_what_it_says_or_nothing(port: int, path: str, status: int) -> None:
    answer = await sent(port, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] == str(status).encode(), answer


async def test_pipelined_requests_are_judged_one_by_one(port: int, house: ApiHouse) -> None:
    body = b'{"max_sessions": 1}'
    change = ADMIN_ONLY + b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    request = f"GET {STATUS} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answers = await sent(port, request + change + b"\r\n" + body + request * 20 + last)
    assert answers.count(b"HTTP/1.1 200 ") == 22
    assert answers.count(b"HTTP/1.1 403 ") == 1
    assert house.settings.max_sessions != 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", id="both lengths"),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 6\r\n", id="two lengths"),
        pytest.param(b"Content-Length: -1\r\n", id="negative length"),
        pytest.param(b"Transfer-Encoding: chunked, identity\r\n", id="strange coding"),
        pytest.param(b"X: a\r\n b\r\n", id="folded header"),
        pytest.param(b"X : a\r\n", id="space before the colon"),
    ],
)
async def test_what_smuggles_is_refused_and_the_connection_ends(port: int, headers: bytes) -> None:
    smuggled = b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    answer = await sent(port, ADMIN_ONLY + headers + b"\r\n0\r\n\r\n" + smuggled)
    assert b"HTTP/1.1 2" not in answer


async def test_who_dribbles_is_sent_away_and_others_are_served_meanwhile(
    house: ApiHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HANDSHAKE_TIME", 0.5)
    async with house.serving() as server:
        port = await server.listen_tcp("127.0.0.1", 0)
        dribbling = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        for _, writer in dribbling:
            writer.write(b"GET /api/v1/status HTTP/1.1\r\nX: ")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get(STATUS) as answer:
                assert answer.status == 200
        for reader, writer in dribbling:
            async with asyncio.timeout(60):
                assert await reader.read() == b""
            writer.close()


async def test_one_client_that_takes_all_it_can_leaves_room_for_others(
    house: ApiHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_OF_ONE", 3)
    # nobody is sent away for being slow
    monkeypatch.setattr(http, "HANDSHAKE_TIME", 120.0)
    async with house.serving() as server, contextlib.AsyncExitStack() as stack:
        port = await server.listen_tcp("127.0.0.1", 0)
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
        assert (await sent(port, b"")).startswith(b"HTTP/1.1 503 ")
        other = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=other) as session:
            async with session.get(STATUS) as answer:
                assert answer.status == 200
