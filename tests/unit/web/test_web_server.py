"""WebSockets over real sockets: good clients, bad clients, and what their protocol notices."""

import asyncio
import logging
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websocket_client import REQUEST, Echo, RawClient, frame

from sidecar.web import http, websocket
from sidecar.web import server as web_server
from sidecar.web.server import CannotServeWeb, WebServer, start_web
from sidecar.web.upgrade import OriginPolicy

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Served:
    """A server on loopback and the protocols that it made."""

    def __init__(self) -> None:
        self.make: Callable[[], Echo] = Echo
        self.protocols: list[Echo] = []
        self.server: WebServer

    def protocol(self) -> Echo:
        self.protocols.append(self.make())
        return self.protocols[-1]

    @property
    def port(self) -> int:
        return self.server.ports[0]


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(context: ssl.SSLContext | None = None, **options: object) -> Served:
            served = Served()
            served.server = await start_web(
                [("127.0.0.1", 0)],
                served.protocol,
                ssl=context,
                **options,  # type: ignore[arg-type]
            )
            stack.push_async_callback(served.server.close)
            return served

        yield start


Dial = Callable[[int], Awaitable[RawClient]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connects to a port; all connections end with the test."""
    clients: list[RawClient] = []

    async def connect(port: int) -> RawClient:
        clients.append(RawClient(*await asyncio.open_connection("127.0.0.1", port)))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


@pytest.fixture
def join(dial: Dial) -> Dial:
    """Connects and does the opening handshake."""

    async def connect(port: int) -> RawClient:
        client = await dial(port)
        await client.upgrade()
        return client

    return connect


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("path", ["/websockify", "/", "/websockify?token=x"])
async def test_a_client_is_served_by_a_protocol_of_its_own(serve: Serve, path: str) -> None:
    served = await serve()
    async with aiohttp.ClientSession() as client:
        url = f"ws://127.0.0.1:{served.port}{path}"
        async with client.ws_connect(url) as first, client.ws_connect(url) as second:
            await first.send_bytes(b"one")
            await second.send_bytes(b"two")
            assert await first.receive_bytes() == b"one"
            assert await second.receive_bytes() == b"two"
            assert first.protocol is None
        for protocol in served.protocols:
            assert await protocol.lost is None
            assert protocol.happened == ["made", "lost"]


async def test_the_subprotocol_is_answered_and_compression_is_not(serve: Serve) -> None:
    served = await serve()
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(
            f"ws://127.0.0.1:{served.port}/websockify", protocols=("base64", "binary"), compress=15
        ) as connection,
    ):
        assert connection.protocol == "binary"
        assert connection.compress == 0
        assert served.protocols[0].transport.get_extra_info("websocket") == "binary"


async def test_the_protocol_can_ask_who_its_peer_is(serve: Serve, join: Dial) -> None:
    served = await serve()
    client = await join(served.port)
    transport = served.protocols[0].transport
    assert transport.get_extra_info("peername") == client.writer.get_extra_info("sockname")
    assert transport.get_extra_info("websocket") == "none"
    assert transport.get_extra_info("sslcontext") is None
    assert transport.get_extra_info("nothing", "default") == "default"
    await client.close()


async def test_a_browser_without_websocket_is_told_what_this_is(serve: Serve) -> None:
    served = await serve()
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{served.port}/") as answer:
            assert answer.status == 200
            assert "/websockify" in await answer.text()
            assert answer.headers["Server"] == "vdi-sidecar"
        async with client.get(f"http://127.0.0.1:{served.port}/etc/passwd") as answer:
            assert answer.status == 404
        async with client.post(f"http://127.0.0.1:{served.port}/", data=b"x" * 100_000) as answer:
            assert answer.status == 405
    assert not served.protocols


@pytest.mark.parametrize(
    ("origins", "status"),
    [(None, 403), (OriginPolicy(["https://vms.example"]), 101), (OriginPolicy(["*"]), 101)],
)
async def test_a_foreign_page_needs_a_policy_that_names_it(
    serve: Serve, dial: Dial, origins: OriginPolicy | None, status: int
) -> None:
    served = await serve(origins=origins)
    client = await dial(served.port)
    client.send(REQUEST.format(path="/", more="Origin: https://vms.example\r\n").encode())
    assert (await client.reader.readline()).startswith(f"HTTP/1.1 {status} ".encode())
    assert len(served.protocols) == (status == 101)


async def test_bytes_sent_along_with_the_request_are_not_lost(serve: Serve, dial: Dial) -> None:
    served = await serve()
    client = await dial(served.port)
    client.send(REQUEST.format(path="/", more="").encode() + frame(b"early"))
    await client.reader.readuntil(b"\r\n\r\n")
    assert await client.receive() == (BINARY, b"early")


async def test_a_message_in_parts_and_in_single_bytes_arrives(serve: Serve, join: Dial) -> None:
    served = await serve()
    client = await join(served.port)
    data = frame(b"frag", fin=False) + frame(b"", PING) + frame(b"mented", 0)
    for index in range(len(data)):
        client.send(data[index : index + 1])
        await asyncio.sleep(0)
    got = b""
    while got != b"fragmented":
        opcode, payload = await client.receive()
        assert opcode in (BINARY, PONG)
        got += payload
    await client.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(b"RFB", mask=None), 1002, id="not masked"),
        pytest.param(frame(b"RFB", TEXT), 1003, id="text"),
        pytest.param(bytes([0x82, 0xFF]) + struct.pack(">Q", 1 << 63) + bytes(4), 1002, id="2**63 bytes"),
        pytest.param(frame(b"x" * 126, PING), 1002, id="long ping"),
    ],
)
async def test_a_violation_ends_the_connection_with_its_code(
    serve: Serve, join: Dial, data: bytes, code: int
) -> None:
    served = await serve()
    client = await join(served.port)
    client.send(data + frame(b"must not arrive"))
    assert await client.close_code() == code
    assert isinstance(await served.protocols[0].lost, Exception)
    assert served.protocols[0].received == b""
    await client.close()


async def test_a_message_of_endless_length_is_passed_on_as_it_comes(serve: Serve, join: Dial) -> None:
    served = await serve()
    client = await join(served.port)
    client.send(bytes([0x82, 0xFF]) + struct.pack(">Q", 1 << 62) + bytes(4))
    for _ in range(3):
        client.send(b"x" * 1000)
        got = 0
        while got < 1000:
            got += len((await client.receive())[1])
    await client.close()
    assert await served.protocols[0].lost is None


async def test_of_a_flood_of_pings_that_came_at_once_the_last_is_answered(serve: Serve, join: Dial) -> None:
    served = await serve()
    client = await join(served.port)
    client.send(b"".join(frame(str(number).encode(), PING) for number in range(5000)))
    answers = 0
    payload = b""
    while payload != b"4999":
        opcode, payload = await client.receive()
        assert opcode == PONG
        answers += 1
    assert answers < 5000
    await client.close()


async def test_the_close_frame_of_the_client_is_answered(serve: Serve, join: Dial) -> None:
    served = await serve()
    client = await join(served.port)
    client.send(frame(b"\x0f\xa0bye", CLOSE) + frame(b"late"))
    assert await client.close_code() == 4000
    assert await served.protocols[0].lost is None
    assert served.protocols[0].received == b""


async def test_closing_sends_what_is_unsent_and_waits_for_the_clients_answer(
    serve: Serve, join: Dial
) -> None:
    served = await serve()
    client = await join(served.port)
    transport = served.protocols[0].transport
    transport.write(b"x" * 3_000_000)
    transport.close()
    transport.write(b"dropped")
    assert transport.is_closing()
    assert len((await client.receive())[1]) == 3_000_000
    assert await client.receive() == (CLOSE, b"\x03\xe8")
    client.send(frame(b"\x03\xe8", CLOSE))
    assert await client.reader.read() == b""
    assert await served.protocols[0].lost is None


async def test_a_client_that_does_not_answer_a_close_is_dropped(
    serve: Serve, join: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIME", 0.05)
    served = await serve()
    client = await join(served.port)
    served.protocols[0].transport.write(b"x" * 30_000_000)
    served.protocols[0].transport.close()
    await served.protocols[0].lost
    await client.close()


async def test_aborting_ends_the_connection_at_once(serve: Serve, join: Dial) -> None:
    served = await serve()
    client = await join(served.port)
    served.protocols[0].transport.abort()
    assert await served.protocols[0].lost is None
    assert await client.reader.read() == b""
    await client.close()


async def test_a_protocol_may_turn_its_connection_away_at_once(serve: Serve, dial: Dial) -> None:
    class Refusing(Echo):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.abort()

    served = await serve()
    refusing = Refusing()
    served.make = lambda: refusing
    client = await dial(served.port)
    client.send(REQUEST.format(path="/", more="").encode())
    await client.reader.read()
    assert await refusing.lost is None
    assert refusing.happened == ["made", "lost"]


async def test_a_client_that_vanishes_is_lost_once(serve: Serve, join: Dial) -> None:
    served = await serve()
    client = await join(served.port)
    client.writer.transport.abort()
    await served.protocols[0].lost
    assert served.protocols[0].happened == ["made", "lost"]


async def test_the_protocol_is_paused_while_the_client_does_not_read(serve: Serve, join: Dial) -> None:
    served = await serve()
    client = await join(served.port)
    protocol = served.protocols[0]
    protocol.transport.set_write_buffer_limits(high=100_000)
    assert protocol.transport.get_write_buffer_limits() == (25_000, 100_000)  # type: ignore[attr-defined]
    written = 0
    while "pause" not in protocol.happened:
        protocol.transport.write(b"x" * 50_000)
        written += 50_000
        await asyncio.sleep(0)
    assert protocol.transport.get_write_buffer_size() > 100_000
    while written:
        written -= len((await client.receive())[1])
    await until(lambda: "resume" in protocol.happened)
    assert protocol.happened == ["made", "pause", "resume"]
    protocol.transport.write(b"more")
    assert await client.receive() == (BINARY, b"more")
    await client.close()
    await protocol.lost


async def test_a_protocol_that_pauses_reading_gets_nothing_until_it_resumes(serve: Serve, join: Dial) -> None:
    class Hesitant(Echo):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    served = await serve()
    hesitant = Hesitant()
    served.make = lambda: hesitant
    client = await join(served.port)
    client.send(frame(b"1") + frame(b"2") + frame(b"3"))
    for expected in (b"1", b"12", b"123"):
        await until(lambda expected=expected: hesitant.received == expected)  # type: ignore[misc]
        assert not hesitant.transport.is_reading()
        for _ in range(5):
            await asyncio.sleep(0)
        assert hesitant.received == expected
        hesitant.transport.resume_reading()
    await client.close()
    await hesitant.lost


async def test_a_silent_client_is_pinged_and_then_dropped(serve: Serve, join: Dial) -> None:
    served = await serve(heartbeat=0.05)
    client = await join(served.port)
    assert await client.receive() == (PING, b"")
    await served.protocols[0].lost
    await client.close()


async def test_a_client_that_answers_pings_stays(serve: Serve, join: Dial) -> None:
    served = await serve(heartbeat=0.5)
    client = await join(served.port)
    for _ in range(2):
        assert await client.receive() == (PING, b"")
        client.send(frame(b"", PONG))
    assert served.protocols[0].happened == ["made"]
    await client.close()


@pytest.mark.parametrize("request_so_far", [b"", b"GET /websockify HTTP/1.1\r\nHost: x\r\n"])
async def test_a_connection_that_does_not_finish_its_request_is_closed(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, dial: Dial, request_so_far: bytes
) -> None:
    monkeypatch.setattr(http, "HANDSHAKE_TIME", 0.1)
    served = await serve()
    client = await dial(served.port)
    client.send(request_so_far)
    assert await client.reader.read() == b""
    assert not served.protocols


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET /" + b"a" * 100_000, id="endless line"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100_000, id="endless header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", id="many headers"),
        pytest.param(b"RFB 003.008\n\r\n\r\n", id="not HTTP"),
        pytest.param(bytes(range(256)) * 20, id="noise"),
    ],
)
async def test_what_is_no_proper_request_is_answered_with_an_error(
    serve: Serve, dial: Dial, request_bytes: bytes
) -> None:
    served = await serve()
    client = await dial(served.port)
    client.send(request_bytes)
    assert (await client.reader.readline()).startswith(b"HTTP/1.")
    assert not served.protocols


async def test_what_a_bad_client_sent_is_not_logged(
    serve: Serve, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    served = await serve()
    client = await dial(served.port)
    with caplog.at_level(logging.DEBUG):
        client.send(b"GET / HTTP/1.1\r\nAuthorization: secret" + b"s" * 10_000)
        assert b" 400 " in await client.reader.readline()
    assert "bad HTTP request refused" in caplog.text
    assert "secret" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_stopping_says_goodbye_to_everybody(serve: Serve) -> None:
    served = await serve()
    async with aiohttp.ClientSession() as client:
        connection = await client.ws_connect(f"ws://127.0.0.1:{served.port}/")
        closing = asyncio.ensure_future(served.server.close())
        message = await connection.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert connection.close_code == 1001
        await closing
    assert served.protocols[0].happened == ["made", "lost"]


async def test_a_port_that_is_taken_is_a_clear_error(serve: Serve) -> None:
    served = await serve()
    with pytest.raises(CannotServeWeb, match=r"cannot listen on 127\.0\.0\.1:\d+: address already in use"):
        await start_web([("127.0.0.1", 0), ("127.0.0.1", served.port)], Echo)


async def test_a_websocket_over_tls_is_secure_for_its_protocol(serve: Serve, tmp_path: Path) -> None:
    server_context, client_context = contexts(tmp_path)
    served = await serve(server_context)
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"wss://127.0.0.1:{served.port}/", ssl=client_context) as connection,
    ):
        data = b"secret" * 200_000
        await connection.send_bytes(data)
        got = b""
        while len(got) < len(data):
            got += await connection.receive_bytes()
        assert got == data
        assert served.protocols[0].transport.get_extra_info("sslcontext") is server_context
    await served.protocols[0].lost


def contexts(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, for a certificate of 127.0.0.1 made for this test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = directory / "server.pem"
    path.write_bytes(pem)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    client = ssl.create_default_context(cafile=str(path))
    client.check_hostname = False
    return server, client


async def test_who_opens_connections_and_says_nothing_does_not_use_up_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_server, "MOST_OF_ONE", 2)
    # nobody is sent away for being slow
    monkeypatch.setattr(http, "HANDSHAKE_TIME", 120.0)
    server = await start_web([("127.0.0.1", 0)], Echo)
    try:
        (port,) = server.ports
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(60):
            assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        for _, each in silent:
            each.close()
    finally:
        await server.close()
