"""The management API over real sockets: what it answers, whom it refuses, and how it ends."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import pytest
from msgspec import Meta, Struct
from support.certificate import write_certificate
from support.synthetic_guest import SyntheticGuest
from support.waiting import eventually
from yarl import URL

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.control import api, api_call
from sidecar.control.api import ApiServer, CannotServeApi
from sidecar.control.api_access import ApiAccess
from sidecar.control.api_status import status_operations
from sidecar.control.operation import Call, Operation
from sidecar.control.role import Role
from sidecar.errors import NotReady
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.web import http
from sidecar.web.tls import TlsFiles

STATUS = "/api/v1/status"
WITH_PASSWORD = ApiAccess(Logins(Passwords(lambda: "secret")))
RIGHT = {"Authorization": "Bearer secret"}

Serve = Callable[..., Awaitable[ApiServer]]


class Echo(Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=100_000)]


class Taken(Exception):
    pass


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that has the status and a few routes of its own."""

    async def not_ready(_call: Call) -> None:
        raise NotReady("not now")

    async def mistaken(_call: Call) -> None:
        raise RuntimeError("a fault of ours")

    async def echo(call: Call) -> Echo:
        if call.body.text == "taken":
            raise Taken("somebody has it")
        return Echo(call.body.text * call.parameters.get("times", 1))

    operations = [
        *status_operations(StatusFeed(Registry(), SyntheticGuest())),
        Operation("GET", "/not-ready", "beNotReady", "", Role.VIEWER, not_ready),
        Operation("GET", "/mistaken", "mistake", "", Role.VIEWER, mistaken),
        Operation(
            "POST",
            "/echo/{name}",
            "echo",
            "",
            Role.VIEWER,
            echo,
            body=Echo,
            parameters={"name": Annotated[str, Meta(max_length=8)], "times": Annotated[int, Meta(le=3)]},
            result=Echo,
            errors={Taken: 409},
            audited=lambda call: {"length": len(call.body.text)},
        ),
        Operation("DELETE", "/echo", "deleteEcho", "", Role.OPERATOR, not_ready),
    ]
    async with AsyncExitStack() as stack:

        async def start(access: ApiAccess | None = None, **options: Any) -> ApiServer:
            server = ApiServer(operations, access or ApiAccess(), wrong_password_pause=0.0, **options)
            return await stack.enter_async_context(server)

        yield start


@contextlib.asynccontextmanager
async def client(server: ApiServer, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    port = await server.listen_tcp("127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", **options) as session:
        yield session


async def test_the_status_is_the_document(serve: Serve) -> None:
    async with client(await serve()) as session, session.get(STATUS) as answer:
        document = await answer.json()
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert answer.headers["Cache-Control"] == "no-store"
    assert document["service"] == {"vnc": {"sessions": 0}, "rdp": {"sessions": 0}}
    assert document["vm"]["name"] == "synthetic"


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/", 404, "not found"),
        ("GET", "/api/v1/nothing", 404, "not found"),
        ("DELETE", STATUS, 405, "method not allowed"),
        ("GET", "/not-ready", 503, "not now"),
        ("GET", "/api/v1//status", 404, "not found"),
        ("GET", "/api/v1/status/", 404, "not found"),
        ("GET", "/api/v1/status%00", 404, "not found"),
        ("GET", "/api/v1%2fstatus", 404, "not found"),
        ("GET", f"{STATUS}?x=1", 400, "there is no parameter 'x'"),
        ("GET", f"{STATUS}?x=1&x=2", 400, "there is no parameter 'x'"),
        ("DELETE", "/echo", 403, "this needs the role operator"),
    ],
)
async def test_an_error_is_told_in_json(
    serve: Serve, method: str, path: str, status: int, error: str
) -> None:
    url = URL(path, encoded=True)
    async with client(await serve()) as session, session.request(method, url) as answer:
        assert (answer.status, await answer.json()) == (status, {"error": error})
        assert answer.headers.get("Allow") == ("GET" if status == 405 else None)


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/echo/x", b'{"text": "hi"}', 200, None),
        ("/echo/x?times=3", b'{"text": "hi"}', 200, None),
        ("/echo/x?times=4", b'{"text": "hi"}', 400, "the parameter times is not valid: "),
        ("/echo/x?times=1&times=2", b'{"text": "hi"}', 400, "'times' is given twice"),
        ("/echo/x?name=y", b'{"text": "hi"}', 400, "'name' is given twice"),
        ("/echo/ninebytes", b'{"text": "hi"}', 400, "the parameter name is not valid: "),
        ("/echo/x", b'{"text": "taken"}', 409, "somebody has it"),
        ("/echo/x", b'{"text": 7}', 422, "the body is not valid: "),
        ("/echo/x", b'{"text": "hi", "more": 1}', 422, "the body is not valid: "),
        ("/echo/x", b"{}", 422, "the body is not valid: "),
        ("/echo/x", b"", 400, "the body is not JSON: "),
        ("/echo/x", b"\xff", 400, "the body is not JSON: "),
        ("/echo/x", b"[" * 60_000, 400, "the body is not JSON: "),
        ("/echo/x", b'{"text": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", 400, "the body is not JSON: "),
        ("/echo/x", bytes(api.LONGEST_BODY + 1), 413, "request entity too large"),
    ],
)
async def test_what_is_sent_is_checked(
    serve: Serve, path: str, body: bytes, status: int, error: str | None
) -> None:
    headers = {"Content-Type": "application/json"}
    async with client(await serve()) as session:
        async with session.post(path, data=body, headers=headers) as answer:
            told = await answer.json()
    assert answer.status == status
    if error is None:
        assert told == {"text": "hi" * (3 if "times" in path else 1)}
    else:
        assert told["error"].startswith(error)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_is_json_and_nothing_else(serve: Serve, headers: dict[str, str]) -> None:
    async with client(await serve()) as session:
        async with session.post("/echo/x", data=b'{"text": "hi"}', headers=headers) as answer:
            assert answer.status == 415


async def test_a_body_that_is_not_asked_for_is_refused(serve: Serve) -> None:
    async with client(await serve()) as session, session.get(STATUS, data=b"{}") as answer:
        assert answer.status == 400


async def test_a_body_that_does_not_come_is_not_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_call, "BODY_TIME", 0.05)
    server = await serve()
    port = await server.listen_tcp("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /echo/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_changes_and_refusals_are_in_the_audit_log_and_questions_are_not(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with client(await serve()) as session:
        for method, path, body in (
            ("GET", STATUS, None),
            ("POST", "/echo/x?times=2", {"text": "geheim"}),
            ("POST", "/echo/x", {"text": "taken"}),
            ("POST", "/echo/x", {"words": "geheim"}),
            ("DELETE", "/echo", None),
        ):
            async with session.request(method, path, json=body):
                pass
    told = [vars(record)["sidecar_context"] for record in caplog.records if record.message == "audit"]
    assert [(line["operation"], line["outcome"], line["status"], line.get("given")) for line in told] == [
        ("echo", "done", 200, {"length": 6}),
        ("echo", "refused", 409, {"length": 5}),
        ("echo", "refused", 422, None),
        ("deleteEcho", "refused", 403, None),
    ]
    assert {(line["caller"], line["how"], line["role"]) for line in told} == {
        ("anybody", "anonymous", "viewer")
    }
    assert all(line["address"].startswith("127.0.0.1:") for line in told)
    assert told[0]["path"] == "/echo/x"
    assert "geheim" not in caplog.text


async def test_a_fault_of_ours_tells_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with client(await serve()) as session, session.get("/mistaken") as answer:
        assert answer.status == 500
        assert "fault of ours" not in await answer.text()
    assert "a fault of ours" in caplog.text


async def test_a_password_is_asked_for(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with client(await serve(WITH_PASSWORD)) as session:
        async with session.get(STATUS) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        # neither does a stranger learn what there is
        async with session.get("/api/v1/nothing", headers={"Authorization": "Bearer geheim"}) as answer:
            assert answer.status == 401
        async with session.get(STATUS, headers=RIGHT) as answer:
            assert answer.status == 200
        # ann:secret
        async with session.get(STATUS, headers={"Authorization": "Basic YW5uOnNlY3JldA=="}) as answer:
            assert answer.status == 200
    assert "geheim" not in caplog.text


async def test_a_foreign_page_is_refused(serve: Serve) -> None:
    foreign = {"Origin": "https://evil.example"}
    async with client(await serve()) as session, session.get(STATUS, headers=foreign) as answer:
        assert answer.status == 403


async def test_tls_is_spoken_where_there_is_a_certificate(serve: Serve, tmp_path: Path) -> None:
    write_certificate(tmp_path)
    server = await serve(ssl=TlsFiles(tmp_path).context)
    port = await server.listen_tcp("127.0.0.1", 0)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with (
        aiohttp.ClientSession(f"https://127.0.0.1:{port}") as session,
        session.get(STATUS, ssl=trusting) as answer,
    ):
        assert answer.status == 200
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(STATUS)


async def test_a_unix_socket_is_for_its_owner_and_group_and_goes_at_the_end(
    serve: Serve, short_dir: Path
) -> None:
    path = short_dir / "api"
    with socket.socket(socket.AF_UNIX) as somebody:
        somebody.bind(str(path))
        somebody.listen()
        with pytest.raises(CannotServeApi, match="somebody listens"):
            await (await serve()).listen_unix(path)
    # now it is one that a dead daemon left behind
    assert path.exists()
    server = await serve(WITH_PASSWORD)
    await server.listen_unix(path)
    assert path.stat().st_mode & 0o777 == api.SOCKET_MODE
    async with aiohttp.ClientSession("http://vm", connector=aiohttp.UnixConnector(str(path))) as session:
        # this user is known by the socket
        async with session.get(STATUS) as answer:
            assert answer.status == 200
    await server.__aexit__(None, None, None)
    assert not path.exists()


async def test_an_address_that_is_taken_is_told(serve: Serve) -> None:
    server = await serve()
    port = await server.listen_tcp("127.0.0.1", 0)
    with pytest.raises(CannotServeApi, match=f"cannot listen on 127.0.0.1:{port}: address already in use"):
        await server.listen_tcp("127.0.0.1", port)


async def test_one_connection_too_many_is_turned_away_and_a_place_that_gets_free_is_given(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "MOST_OF_ONE", 2)
    # nobody is sent away for being slow
    monkeypatch.setattr(api, "HANDSHAKE_TIME", 120.0)
    server = await serve()
    port = await server.listen_tcp("127.0.0.1", 0)
    request = f"GET {STATUS} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    async def ask() -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        return await reader.readline(), writer

    held = [await ask() for _ in range(2)]
    assert all(line.startswith(b"HTTP/1.1 200") for line, _ in held)
    line, refused = await ask()
    refused.close()
    assert line.startswith(b"HTTP/1.1 503")
    for _, writer in held:
        writer.close()
    await eventually(lambda: not server.connections, "the others have gone")
    line, writer = await ask()
    assert line.startswith(b"HTTP/1.1 200")
    writer.close()


async def test_strangers_do_not_take_the_places_of_local_users(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, short_dir: Path
) -> None:
    monkeypatch.setattr(api, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(http, "HANDSHAKE_TIME", 120.0)
    server = await serve()
    port = await server.listen_tcp("127.0.0.1", 0)
    await server.listen_unix(short_dir / "api")
    _, stranger = await asyncio.open_connection("127.0.0.1", port)
    await eventually(lambda: server.connections, "the stranger is there")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert (await reader.readline()).startswith(b"HTTP/1.1 503")
    writer.close()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(short_dir / "api"))) as local:
        async with local.get(f"http://vm{STATUS}") as answer:
            assert answer.status == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    stranger.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"GET /" + b"a" * 100_000, id="endless line"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", id="many headers"),
        pytest.param(bytes(range(256)) * 20, id="noise"),
    ],
)
async def test_what_is_no_proper_request_is_refused_without_a_traceback(
    serve: Serve, nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve()
    port = await server.listen_tcp("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(nonsense)
    # what is unread when the server closes may cost the client its answer
    with contextlib.suppress(ConnectionResetError):
        assert not (await reader.read()).startswith(b"HTTP/1.1 2")
    writer.transport.abort()
    assert "Traceback" not in caplog.text
    async with client(server) as session, session.get(STATUS) as answer:
        assert answer.status == 200
