"""The private bus is a real dbus-daemon: who may come in, and what happens when it dies."""

import asyncio
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dbus_fast.auth import AuthExternal
from support.waiting import DEADLINE, eventually, wait_until

from sidecar.qemu.bus import PrivateBus
from sidecar.qemu.connection import PeerConnection, connect_to_bus
from sidecar.qemu.errors import BusError, ConnectionLost
from sidecar.qemu.link import BUS, BUS_PATH

STRANGER = 54321
FRIEND = pwd.getpwnam("nobody").pw_uid
FOE = pwd.getpwnam("daemon").pw_uid

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # one that has ended and waits to be collected is gone
    return " Z " not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:4]


async def names_on(bus: PrivateBus) -> list[str]:
    connection = await connect_to_bus(bus.address)
    names: list[list[str]] = await connection.request(BUS, BUS_PATH, BUS, "ListNames", timeout=5)
    connection.close()
    return names[0]


async def listens(bus: PrivateBus) -> None:
    """Returns when somebody can come in."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                await names_on(bus)
            except ConnectionLost:
                await asyncio.sleep(0.02)
            else:
                return


async def say_hello_as(uid: int, path: Path) -> None:
    """Connects as another user and says Hello."""
    sock = socket.socket(socket.AF_UNIX)
    os.seteuid(uid)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        raise
    finally:
        os.seteuid(0)
    connection = PeerConnection(sock)
    connection._auth = AuthExternal(uid)
    try:
        await connection.open()
        await connection.request(BUS, BUS_PATH, BUS, "Hello", timeout=5)
    finally:
        connection.close()


async def test_it_listens_when_it_is_there_and_is_gone_afterwards(short_dir: Path) -> None:
    async with PrivateBus(short_dir / "bus") as bus:
        assert bus.address == f"unix:path={short_dir}/bus/bus"
        assert BUS in await names_on(bus)
        pid = bus.pid
        assert pid
        assert stat.S_IMODE((short_dir / "bus").stat().st_mode) == 0o700
        assert stat.S_IMODE(bus.socket_path.stat().st_mode) == 0o600
    assert not exists(pid)
    assert list(short_dir.iterdir()) == []


async def test_the_socket_may_be_elsewhere_and_have_any_name(short_dir: Path) -> None:
    path = short_dir / "a b,c=é.sock"
    async with PrivateBus(short_dir / "bus", path) as bus:
        assert path.is_socket()
        assert BUS in await names_on(bus)


@as_root
async def test_the_machines_user_comes_in_and_nobody_else(short_dir: Path) -> None:
    short_dir.chmod(0o755)
    async with PrivateBus(short_dir / "bus", allow_uid=FRIEND) as bus:
        await say_hello_as(FRIEND, bus.socket_path)
        with pytest.raises(PermissionError):
            await say_hello_as(FOE, bus.socket_path)
        # even where the file lets them
        bus.socket_path.chmod(0o666)
        with pytest.raises(ConnectionLost):
            await say_hello_as(FOE, bus.socket_path)
        await say_hello_as(FRIEND, bus.socket_path)
        assert BUS in await names_on(bus)


async def test_a_user_whom_the_daemon_would_not_know_is_said_plainly(short_dir: Path) -> None:
    with pytest.raises(BusError, match=f"/etc/passwd, and {STRANGER} is none"):
        async with PrivateBus(short_dir / "bus", allow_uid=STRANGER):
            pass


async def test_a_missing_program_is_said_plainly(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(short_dir))
    with pytest.raises(BusError, match="install the package dbus"):
        async with PrivateBus(short_dir / "bus"):
            pass


async def test_a_path_that_no_socket_can_have_is_said_plainly(short_dir: Path) -> None:
    with pytest.raises(BusError, match="shorter path"):
        async with PrivateBus(short_dir / ("x" * 100)):
            pass


async def test_a_directory_that_cannot_be_is_said_plainly(short_dir: Path) -> None:
    (short_dir / "file").touch()
    with pytest.raises(BusError, match="cannot be set up"):
        async with PrivateBus(short_dir / "file" / "bus"):
            pass


async def test_a_daemon_that_does_not_start_gives_its_own_reason(short_dir: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BusError, match="does not start"):
        async with PrivateBus(short_dir / "bus", short_dir / "missing" / "socket"):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_socket_left_by_a_dead_daemon_is_replaced(short_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(short_dir / "bus"))
    async with PrivateBus(short_dir) as bus:
        assert BUS in await names_on(bus)


async def test_a_daemon_that_dies_is_started_again(short_dir: Path) -> None:
    async with PrivateBus(short_dir) as bus:
        for _ in range(2):
            pid = bus.pid
            assert pid
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: bus.pid not in (None, pid), "another one runs")  # noqa: B023 - called at once
            await listens(bus)
        assert BUS in await names_on(bus)
        assert stat.S_IMODE(bus.socket_path.stat().st_mode) == 0o600
        pid = bus.pid
    assert pid
    assert not exists(pid)


def test_the_daemon_dies_with_us(short_dir: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from sidecar.qemu.bus import PrivateBus\n"
        "async def run():\n"
        "    async with PrivateBus(pathlib.Path(sys.argv[1])) as bus:\n"
        "        print(bus.pid, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(run())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, short_dir], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert exists(pid)
        parent.kill()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or not exists(pid), "the daemon ends")


async def test_stopping_leaves_no_task_and_no_descriptor(short_dir: Path) -> None:
    before = len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    for _ in range(2):
        async with PrivateBus(short_dir):
            pass
    assert (len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())) == before
