"""The socket as virt-launcher finds it in its folder."""

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import grpc
import grpc.aio
import pytest
from hook_sides import MakeServer

from sidecar.hook.api.info_pb2 import InfoParams, InfoResult
from sidecar.hook.api.info_pb2_grpc import InfoStub
from sidecar.hook.server import HookServer
from sidecar.hook.socket_file import HookSocketError, SocketFile


def sockets_that_virt_launcher_sees(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(folder) if not entry.is_dir()]


def info_of(path: Path) -> InfoResult:
    """virt-launcher's first call. It gives 2 s to connecting and 1 s to the answer: here 3 s are for both."""
    options = (("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1))
    with grpc.insecure_channel(f"unix:{quote(str(path))}", options=options) as channel:
        return InfoStub(channel).Info(InfoParams(), timeout=3)


def collect(folder: Path, leave: threading.Event) -> InfoResult | None:
    """Calls whatever appears, in the moment in which it appears."""
    while not leave.is_set():
        for path in sockets_that_virt_launcher_sees(folder):
            return info_of(path)
        time.sleep(0.0005)
    return None


async def test_the_socket_answers_from_the_moment_in_which_it_is_seen(
    make_server: MakeServer, socket_path: Path
) -> None:
    leave = threading.Event()
    try:
        for _ in range(50):
            collecting = asyncio.create_task(asyncio.to_thread(collect, socket_path.parent, leave))
            async with make_server():
                info = await collecting
            assert info is not None
            assert info.name == "vdi-sidecar"
    finally:
        leave.set()


async def test_nothing_but_the_socket_is_left_beside_it(server: HookServer) -> None:
    assert list(server.socket.parent.iterdir()) == [server.socket]


async def test_nothing_is_left_at_all_when_the_server_has_gone(
    make_server: MakeServer, socket_path: Path
) -> None:
    async with make_server():
        pass
    assert list(socket_path.parent.iterdir()) == []


async def test_nothing_is_left_when_the_body_fails(make_server: MakeServer, socket_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with make_server():
            raise ZeroDivisionError
    assert list(socket_path.parent.iterdir()) == []


async def test_the_socket_is_for_our_user_and_group_only(server: HookServer) -> None:
    mode = server.socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


@pytest.mark.parametrize("folder", ["hook-sidecar-0", "my hooks", "100%25", "Über#1?"])
async def test_a_missing_folder_is_made_whatever_its_name(
    folder: str, tmp_path: Path, screens, domains
) -> None:
    path = tmp_path / folder / "vdi-sidecar.sock"
    async with HookServer(path, define_domain=domains, status=screens):
        assert (await asyncio.to_thread(info_of, path)).name == "vdi-sidecar"


@contextlib.contextmanager
def listening(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield


async def test_a_crashed_predecessors_leavings_are_cleared_away(
    make_server: MakeServer, socket_path: Path
) -> None:
    staging = SocketFile(socket_path).staging
    staging.parent.mkdir()
    with listening(socket_path), listening(staging):
        pass
    assert socket_path.is_socket()
    assert staging.is_socket()
    async with make_server():
        assert (await asyncio.to_thread(info_of, socket_path)).name == "vdi-sidecar"
    assert list(socket_path.parent.iterdir()) == []


async def test_a_living_process_keeps_its_socket(make_server: MakeServer, socket_path: Path) -> None:
    with listening(socket_path):
        with pytest.raises(HookSocketError, match="another process answers on"):
            async with make_server():
                pass
        assert socket_path.is_socket()


async def test_a_file_that_is_no_socket_is_kept(make_server: MakeServer, socket_path: Path) -> None:
    socket_path.write_text("notes")
    with pytest.raises(HookSocketError, match="is no socket"):
        async with make_server():
            pass
    assert socket_path.read_text() == "notes"


async def test_the_socket_of_a_successor_is_not_taken_away(
    make_server: MakeServer, socket_path: Path
) -> None:
    async with make_server():
        socket_path.unlink()
        successor = make_server()
        await successor.__aenter__()
    assert (await asyncio.to_thread(info_of, socket_path)).name == "vdi-sidecar"
    await successor.__aexit__(None, None, None)
    assert not socket_path.exists()


async def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, screens, domains) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HookSocketError) as refused:
        async with HookServer(tmp_path / "file" / "vdi-sidecar.sock", define_domain=domains, status=screens):
            pass
    assert str(tmp_path / "file") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_that_vanishes_meanwhile_is_one_line(socket_path: Path) -> None:
    file = SocketFile(socket_path)
    file.prepare()
    shutil.rmtree(socket_path.parent)
    with pytest.raises(HookSocketError, match=r"cannot use the hook folder .*: no such file"):
        file.publish()
    file.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_the_socket_of_another_user_is_named(short_dir: Path) -> None:
    short_dir.chmod(0o777)
    path = short_dir / "vdi-sidecar.sock"
    with listening(path):
        path.chmod(0o600)
    nobody = pwd.getpwnam("nobody").pw_uid
    os.seteuid(nobody)
    try:
        with pytest.raises(HookSocketError, match="belongs to user 0: remove it"):
            SocketFile(path).prepare()
    finally:
        os.seteuid(0)


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HookSocketError, match="too long"):
        SocketFile(tmp_path / ("x" * 120))


def test_the_path_that_kubevirt_gives_is_not_too_long() -> None:
    SocketFile(Path("/var/run/kubevirt-hooks/hook-sidecar-10/vdi-sidecar.sock"))


def test_the_name_comes_with_publishing_and_goes_with_removing(socket_path: Path) -> None:
    file = SocketFile(socket_path)
    file.prepare()
    with listening(file.staging):
        assert sockets_that_virt_launcher_sees(socket_path.parent) == []
        assert stat.S_IMODE(file.staging.parent.stat().st_mode) == 0o700
        file.publish()
        assert sockets_that_virt_launcher_sees(socket_path.parent) == [socket_path]
        file.remove()
        file.remove()
    assert list(socket_path.parent.iterdir()) == []


HOSTILE = {
    "nothing": b"",
    "zeros": b"\0" * 4096,
    "high bytes": b"\xff" * 4096,
    "http 1": b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x42" * 512,
    "half a preface": b"PRI * HTTP/2.0\r\n",
    "preface and a huge frame": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" * 100,
    "preface and broken headers": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    + b"\x00\x00\x10\x01\x05\x00\x00\x00\x01"
    + b"\xfe" * 16,
}


A_DAEMON_THAT_STARTS_A_PROGRAM = """
import asyncio, sys
from pathlib import Path
from urllib.parse import quote
import uvloop
from sidecar.hook.server import HookServer
from sidecar.observers import Observers

class Nothing:
    changes = Observers()
    def status(self):
        return {}

async def define_domain(domain, vmi):
    return domain

async def main():
    async with HookServer(Path(sys.argv[1]), define_domain=define_domain, status=Nothing()):
        for _ in range(5):
            program = await asyncio.create_subprocess_exec("/bin/true")
            await program.wait()

uvloop.run(main())
"""


def test_under_uvloop_starting_a_program_says_nothing(socket_path: Path) -> None:
    # uvloop forks, and gRPC's own handlers of that would complain about its threads
    daemon = [sys.executable, "-c", A_DAEMON_THAT_STARTS_A_PROGRAM, str(socket_path)]
    result = subprocess.run(daemon, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("garbage", HOSTILE.values(), ids=HOSTILE.keys())
async def test_garbage_on_the_socket_disturbs_nobody(garbage: bytes, server: HookServer, capfd) -> None:
    with contextlib.ExitStack() as connections:
        for _ in range(8):
            reader = connections.enter_context(socket.socket(socket.AF_UNIX))
            reader.connect(str(server.socket))
            reader.sendall(garbage)
        assert (await asyncio.to_thread(info_of, server.socket)).name == "vdi-sidecar"
    assert capfd.readouterr().err == ""


def open_files() -> set[str]:
    with os.scandir("/proc/self/fd") as entries:
        return {entry.name for entry in entries}


async def test_twenty_rounds_leave_no_task_and_no_file_open(
    make_server: MakeServer, socket_path: Path
) -> None:
    async def round_trip() -> None:
        async with (
            make_server() as server,
            grpc.aio.insecure_channel(f"unix:{socket_path}") as channel,
        ):
            await InfoStub(channel).Info(InfoParams(), timeout=30)
            assert server.watchers == 0

    # gRPC keeps what it has opened for its own loop until the process ends
    async with grpc.aio.insecure_channel("unix:/nowhere"):
        await round_trip()
        files, tasks = len(open_files()), asyncio.all_tasks()
        for _ in range(20):
            await round_trip()
        assert asyncio.all_tasks() == tasks
        # the core closes a connection some moments after both sides have let go of it
        for _ in range(500):
            if len(open_files()) <= files:
                break
            await asyncio.sleep(0.01)
        assert len(open_files()) <= files
