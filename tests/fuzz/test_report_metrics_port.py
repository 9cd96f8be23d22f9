"""The metrics port among clients that do everything wrong."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator

import pytest
from support.synthetic_guest import SyntheticGuest
from support.waiting import eventually

from sidecar.problems import Problems
from sidecar.report import metrics_server
from sidecar.report.http_page import LONGEST_HEAD
from sidecar.report.metrics import Metrics
from sidecar.report.metrics_server import MOST_CONNECTIONS, MetricsServer
from sidecar.session.registry import Registry

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
STATUSES = {b"200", b"400", b"404", b"405", b"431"}


@pytest.fixture
async def server() -> AsyncIterator[MetricsServer]:
    async with MetricsServer(Metrics(Registry(), SyntheticGuest(), Problems()), "127.0.0.1", 0) as server:
        yield server
        assert (await answer_to(server, [SCRAPE])).startswith(b"HTTP/1.1 200 ")
        await eventually(lambda: server.connections == 0, "nobody is there")


async def answer_to(server: MetricsServer, said: list[bytes], *, reads: bool = True) -> bytes:
    """What comes until the server closes; said as long as it listens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answered = b""
    with contextlib.suppress(ConnectionError):
        for piece in said:
            writer.write(piece)
            await writer.drain()
        if reads:
            answered = await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return answered


def no_more_than_one_answer(answered: bytes) -> None:
    if answered:
        head, _, body = answered.partition(b"\r\n\r\n")
        assert head.split(b" ")[1] in STATUSES
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"HTTP/1.1" not in body


async def test_requests_that_are_broken_at_any_place(server: MetricsServer) -> None:
    chance = random.Random(11)
    pieces = [
        b"GET",
        b"HEAD",
        b"PUT",
        b" ",
        b"/metrics",
        b"/../metrics",
        b"http://x/metrics",
        b"*",
        b"HTTP/1.1",
    ]
    pieces += [
        b"HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"Host: x",
        b"Transfer-Encoding: chunked",
        b"\xff" * 9,
    ]
    for _ in range(150):
        said = b"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 12)))
        no_more_than_one_answer(await answer_to(server, [said, b"\r\n\r\n"]))


async def test_more_than_anybody_may_say(server: MetricsServer) -> None:
    for said in (
        b"x" * LONGEST_HEAD,
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * LONGEST_HEAD,
        SCRAPE,
    ):
        no_more_than_one_answer(await answer_to(server, [said] * 50))
        await answer_to(server, [said] * 50, reads=False)


async def test_one_byte_now_and_then_is_not_enough(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIME", 0.3)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)
    writer.close()


async def test_hundreds_in_one_instant_are_never_more_than_may_be(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIME", 600)
    with contextlib.ExitStack() as stack:
        # the loop does not run meanwhile: they are all there when it looks
        for _ in range(90):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", server.port))
        await eventually(lambda: server.connections > 0, "the first are there")
        await eventually(lambda: server.connections <= MOST_CONNECTIONS, "the others are sent away")
        assert (await answer_to(server, [SCRAPE])).startswith(b"HTTP/1.1 200 ")
