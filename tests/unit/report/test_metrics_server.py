"""The metrics over real sockets: good clients and bad ones."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.ports import free_port
from support.synthetic_guest import SyntheticGuest
from support.waiting import eventually

from sidecar.problems import Problems
from sidecar.report import metrics_server
from sidecar.report.http_page import LONGEST_HEAD, Page, answer
from sidecar.report.metrics import Metrics
from sidecar.report.metrics_server import CannotServeMetrics, MetricsServer
from sidecar.session.registry import Registry

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def metrics() -> Metrics:
    return Metrics(Registry(), SyntheticGuest(), Problems())


@pytest.fixture
async def server() -> AsyncIterator[MetricsServer]:
    async with MetricsServer(metrics(), "127.0.0.1", 0) as server:
        yield server


@pytest.fixture
def port(server: MetricsServer) -> int:
    return server.port


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def say(port: int, request: bytes, *, half_close: bool = False) -> bytes:
    """The whole answer to some bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    if half_close:
        writer.write_eof()
    answered = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answered


async def test_prometheus_gets_what_it_can_read(port: int, client: aiohttp.ClientSession) -> None:
    async with client.get(f"http://127.0.0.1:{port}/metrics?x=y") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = list(text_string_to_metric_families(await response.text()))
    assert "kubevirt_vmi_vdi_sessions" in {family.name for family in families}


async def test_head_tells_the_length_alone(port: int, client: aiohttp.ClientSession) -> None:
    async with client.head(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) > 1000
        assert await response.read() == b""


async def test_a_probe_is_answered(port: int, client: aiohttp.ClientSession) -> None:
    async with client.get(f"http://127.0.0.1:{port}/healthz") as response:
        assert (response.status, await response.text()) == (200, "ok\n")


@pytest.mark.parametrize(
    "path", ["/", "/metrics/", "/metrics/../metrics", "/%6Detrics", "//metrics", "/\xff"]
)
async def test_there_is_nothing_else(port: int, path: str) -> None:
    answered = await say(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
    assert answered.startswith(b"HTTP/1.1 404 ")


async def test_nothing_can_be_written(port: int, client: aiohttp.ClientSession) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        async with client.request(
            method, f"http://127.0.0.1:{port}/metrics", data=b"x" * 100_000
        ) as response:
            assert response.status == 405
            assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"RFB 003.008\n\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", b"400"),
        (b"GET http://x/metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nAccept: x\r\nHOST: a\r\n\r\n", b"200"),
        (SCRAPE + SCRAPE, b"200"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 2 * LONGEST_HEAD + b"\r\n\r\n", b"431"),
        (b"x" * 4 * LONGEST_HEAD, b"431"),
    ],
)
async def test_each_request_gets_one_answer(port: int, request_: bytes, status: bytes) -> None:
    answered = await say(port, request_)
    assert answered.startswith(b"HTTP/1.1 " + status)
    assert answered.count(b"HTTP/1.1 ") == 1
    head, _, body = answered.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Connection: close" in head


async def test_a_client_that_leaves_early_leaves_nothing_behind(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for request in (b"", b"GET /metr", SCRAPE):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        writer.transport.abort()
    assert await say(port, b"GET /met", half_close=True) == b""
    assert (await say(port, SCRAPE, half_close=True)).startswith(b"HTTP/1.1 200 ")
    assert caplog.records == []


async def test_clients_that_say_nothing_lock_nobody_out(server: MetricsServer, port: int) -> None:
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(3 * metrics_server.MOST_CONNECTIONS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            readers.append(reader)
        assert (await say(port, SCRAPE)).startswith(b"HTTP/1.1 200 ")
        assert server.connections <= metrics_server.MOST_CONNECTIONS
        assert await readers[0].read() == b""


@pytest.mark.parametrize("said", [b"", b"GET /", SCRAPE])
async def test_a_client_that_stays_is_ended(
    server: MetricsServer, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_TIME", 0.05)
    monkeypatch.setattr(metrics_server, "LINGER_TIME", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(said)
    await reader.read()
    await eventually(lambda: server.connections == 0, "the client is ended")
    writer.close()


async def test_many_at_once_are_all_answered(port: int) -> None:
    answers = await asyncio.gather(*(say(port, SCRAPE) for _ in range(metrics_server.MOST_CONNECTIONS)))
    assert all(each.startswith(b"HTTP/1.1 200 ") for each in answers)


async def test_leaving_ends_those_who_are_there() -> None:
    async with MetricsServer(metrics(), "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await eventually(lambda: server.connections == 1, "the client is there")
    assert server.connections == 0
    assert await reader.read() == b""
    writer.close()


async def test_it_listens_on_ipv6_and_on_every_interface(client: aiohttp.ClientSession) -> None:
    for host, called in (("::1", "[::1]"), ("", "127.0.0.1")):
        async with MetricsServer(metrics(), host, free_port()) as server:
            async with client.get(f"http://{called}:{server.port}/healthz") as response:
                assert response.status == 200


async def test_a_port_that_is_taken_is_told(port: int) -> None:
    with pytest.raises(CannotServeMetrics, match=rf"127\.0\.0\.1:{port}: address already in use"):
        async with MetricsServer(metrics(), "127.0.0.1", port):
            pass


async def test_a_fault_in_a_page_is_logged_and_ends_one_request(caplog: pytest.LogCaptureFixture) -> None:
    broken = metrics()
    broken.page = lambda: 1 // 0  # type: ignore[method-assign, return-value]
    async with MetricsServer(broken, "127.0.0.1", 0) as server:
        assert await say(server.port, SCRAPE) == b""
        assert (await say(server.port, SCRAPE.replace(b"metrics", b"healthz"))).endswith(b"ok\n")
    assert "metrics request failed" in caplog.text


@given(st.binary(max_size=200))
@example(b"GET /p HTTP/1.1\r\nHost: x")
def test_whatever_is_asked_gets_a_whole_answer(head: bytes) -> None:
    answered = answer(head, {"/p": Page("text/plain", lambda: b"page")})
    status, _, body = answered.partition(b"\r\n\r\n")
    assert status.split(b" ")[1] in (b"200", b"400", b"404", b"405")
    assert body
