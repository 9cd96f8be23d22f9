"""The admin socket: real sockets, a real registry."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.control.admin import MAX_CONNECTIONS, AdminServer, AdminSocketTaken
from sidecar.control.admin_client import AdminClient, AdminRefused, DaemonUnreachable, connect_admin
from sidecar.control.admin_commands import (
    LONGEST_REQUEST,
    BadRequest,
    Command,
    CommandTable,
    session_commands,
)
from sidecar.guest import Guest, GuestState
from sidecar.observers import Observers
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Registry
from sidecar.session.session import Session
from sidecar.session.state import EndReason


def no_machine() -> Guest:
    lifecycle: Observers[[GuestState]] = Observers()
    return cast(
        Guest,
        SimpleNamespace(
            state=GuestState.WAITING, name="virtual machine", uuid="", consoles={}, lifecycle=lifecycle
        ),
    )


def log_in(registry: Registry, ended: list[EndReason] | None = None) -> Session:
    session = registry.connect("vnc", "tcp", "127.0.0.1:40001", end=([] if ended is None else ended).append)
    registry.initialize(session)
    return session


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def commands(registry: Registry) -> CommandTable:
    return CommandTable(*session_commands(StatusFeed(registry, no_machine(), interval=0.01)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


@pytest.fixture
async def server(path: Path, commands: CommandTable) -> AsyncIterator[AdminServer]:
    async with AdminServer(path, commands) as server:
        yield server


async def with_client(path: Path, talk: Callable[[AdminClient], Any]) -> Any:
    def run() -> Any:
        with connect_admin(path) as client:
            return talk(client)

    return await asyncio.to_thread(run)


async def ask(path: Path, command: str, **arguments: Any) -> Any:
    return await with_client(path, lambda client: client.ask(command, **arguments))


async def test_only_the_owner_may_open_the_socket(server: AdminServer, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_sessions_are_listed(server: AdminServer, registry: Registry, path: Path) -> None:
    session = log_in(registry)
    session.bytes_sent += 1000
    (listed,) = await ask(path, "sessions")
    assert (listed["id"], listed["state"], listed["bytes_sent"]) == (session.id, "initialized", 1000)


async def test_a_session_is_ended_by_its_id(server: AdminServer, registry: Registry, path: Path) -> None:
    ended: list[EndReason] = []
    session = log_in(registry, ended)
    other = log_in(registry)
    assert await ask(path, "disconnect", id=session.id) == {"disconnected": 1}
    assert ended == [EndReason.DISCONNECTED]
    assert [kept.id for kept in registry] == [other.id]


async def test_ending_a_session_that_is_not_there_says_so(server: AdminServer, path: Path) -> None:
    with pytest.raises(AdminRefused, match="there is no session 'v9'"):
        await ask(path, "disconnect", id="v9")


async def test_all_sessions_are_ended_at_once(server: AdminServer, registry: Registry, path: Path) -> None:
    log_in(registry)
    log_in(registry)
    assert await ask(path, "disconnect-all") == {"disconnected": 2}
    assert registry.count() == 0


async def test_view_only_is_switched(server: AdminServer, registry: Registry, path: Path) -> None:
    session = log_in(registry)
    await ask(path, "view-only", id=session.id, value=True)
    assert session.view_only


async def test_one_conversation_asks_many_times_and_outlives_an_error(
    server: AdminServer, registry: Registry, path: Path
) -> None:
    def talk(client: AdminClient) -> tuple[Any, Any]:
        before = client.ask("status")
        with pytest.raises(AdminRefused, match="unknown command"):
            client.ask("reboot")
        return before, client.ask("status")

    before, after = await with_client(path, talk)
    assert before == after
    assert before["service"] == {"vnc": {"sessions": 0}, "rdp": {"sessions": 0}}
    assert before["vm"]["state"] == "waiting"


async def test_watch_tells_the_state_now_and_each_later_one(
    server: AdminServer, registry: Registry, path: Path
) -> None:
    seen: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def talk(client: AdminClient) -> None:
        for status in client.stream("watch"):
            count = status["service"]["vnc"]["sessions"]
            loop.call_soon_threadsafe(seen.put_nowait, count)
            if count == 2:
                return

    watching = asyncio.create_task(with_client(path, talk))
    assert await seen.get() == 0
    log_in(registry)
    assert await seen.get() == 1
    log_in(registry)
    assert await seen.get() == 2
    await watching
    while len(registry.changes):
        await asyncio.sleep(0.01)


async def test_watch_with_counters_goes_on_without_a_change(server: AdminServer, path: Path) -> None:
    def talk(client: AdminClient) -> list[int]:
        stream = client.stream("watch", counters=True)
        return [next(stream)["generation"] for _ in range(3)]

    assert await with_client(path, talk) == [0, 0, 0]


async def test_help_is_made_of_the_table(server: AdminServer, path: Path) -> None:
    listed = {entry["command"]: entry for entry in await ask(path, "help")}
    assert listed.keys() == {
        "help",
        "sessions",
        "status",
        "watch",
        "disconnect",
        "disconnect-all",
        "view-only",
    }
    assert listed["view-only"]["required"] == {"id": "string", "value": "boolean"}


async def test_a_line_that_is_too_long_is_refused_and_the_conversation_ended(
    server: AdminServer, path: Path
) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b'"' + b"x" * 2 * LONGEST_REQUEST)
    await writer.drain()
    assert json.loads(await reader.readline()) == {
        "ok": False,
        "error": f"a request has at most {LONGEST_REQUEST} bytes",
    }
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    writer.close()


async def test_a_client_that_asks_nothing_is_let_go(path: Path, commands: CommandTable) -> None:
    async with AdminServer(path, commands, time_limit=0.01):
        reader, writer = await asyncio.open_unix_connection(path)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()


async def test_clients_beyond_the_limit_are_told_so(server: AdminServer, path: Path) -> None:
    connections = [await asyncio.open_unix_connection(path) for _ in range(MAX_CONNECTIONS)]
    for reader, writer in connections:
        writer.write(b'{"command":"sessions"}\n')
        assert json.loads(await reader.readline())["ok"]
    with pytest.raises(AdminRefused, match="too many clients"):
        await ask(path, "sessions")
    for _reader, writer in connections:
        writer.close()


async def test_the_daemon_ends_while_clients_watch_and_do_not_read(
    path: Path, commands: CommandTable
) -> None:
    endless = Command("flood", "sends much", lambda _arguments: _flood())
    commands.add(endless)
    async with AdminServer(path, commands):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command":"flood"}\n')
        await reader.readline()
    assert not path.exists()
    writer.close()


async def _flood() -> AsyncIterator[str]:
    while True:
        yield "x" * 60000


async def test_a_second_daemon_in_the_same_directory_is_refused_and_the_first_goes_on(
    server: AdminServer, path: Path, commands: CommandTable
) -> None:
    with pytest.raises(AdminSocketTaken, match="another vdi-sidecar runs in"):
        async with AdminServer(path, commands):
            pass
    assert await ask(path, "sessions") == []


async def test_the_socket_of_a_dead_daemon_is_replaced(path: Path, commands: CommandTable) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    async with AdminServer(path, commands):
        assert await ask(path, "sessions") == []


async def test_a_daemon_can_follow_one_that_has_ended(path: Path, commands: CommandTable) -> None:
    for _ in range(2):
        async with AdminServer(path, commands):
            assert await ask(path, "sessions") == []
        assert not path.exists()


async def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path: Path, commands: CommandTable) -> None:
    with pytest.raises(AdminSocketTaken, match="cannot use the run directory"):
        async with AdminServer(tmp_path / "none" / "admin.sock", commands):
            pass


async def test_no_descriptor_stays_open(path: Path, commands: CommandTable) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        async with AdminServer(path, commands):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"command":"sessions"}\n')
            await reader.readline()
            writer.close()
            await writer.wait_closed()
    await asyncio.sleep(0)
    assert set(os.listdir("/proc/self/fd")) == before


def test_no_daemon_is_a_clear_error(tmp_path: Path) -> None:
    with (
        pytest.raises(DaemonUnreachable, match="no vdi-sidecar runs in"),
        connect_admin(tmp_path / "admin.sock"),
    ):
        pass


def test_something_else_on_the_socket_is_a_clear_error(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with connect_admin(path) as client:
            accepted, _ = other.accept()
            with accepted:
                accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n")
                with pytest.raises(DaemonUnreachable, match="is not a vdi-sidecar"):
                    client.ask("status")


def test_a_daemon_that_does_not_answer_is_a_clear_error(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with (
            connect_admin(path, time_limit=0.01) as client,
            pytest.raises(DaemonUnreachable, match="does not answer"),
        ):
            client.ask("status")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", "not a line of JSON"),
        (b"\xff\xfe", "not a line of JSON"),
        (b"[" * 4000, "not a line of JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "unknown command"),
        (b'{"command": 7}', "unknown command"),
        (b'{"command": ["sessions"]}', "unknown command"),
        (b'{"command": "disconnect"}', "disconnect needs id"),
        (b'{"command": "disconnect", "id": 7}', "id must be a string"),
        (b'{"command": "disconnect", "id": "v1", "why": "x"}', "takes only id"),
        (b'{"command": "view-only", "id": "v1", "value": 1}', "value must be a boolean"),
        (b'{"command": "sessions", "id": "v1"}', "takes no arguments"),
        (b'{"command": "' + b"x" * LONGEST_REQUEST + b'"}', "longer than"),
    ],
)
def test_a_request_that_is_not_understood_is_told_why(
    commands: CommandTable, line: bytes, error: str
) -> None:
    with pytest.raises(BadRequest, match=error):
        commands.parse(line)


@settings(deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=100).map(lambda text: json.dumps({"command": text}).encode())
)
def test_any_line_is_understood_or_a_bad_request(line: bytes) -> None:
    commands = CommandTable(*session_commands(StatusFeed(Registry(), no_machine())))
    with suppress(BadRequest):
        request = commands.parse(line)
        assert request.command.name in {"help", "sessions", "status", "watch", "disconnect-all"}


def test_two_commands_of_one_name_are_a_fault() -> None:
    with pytest.raises(ValueError, match="two commands"):
        CommandTable(Command("help", "again", lambda _arguments: None))
