"""The private bus is a real dbus-daemon: who may come in, and what happens when it dies."""

import asyncio
import errno
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

from sidecar.errors import NotReady
from sidecar.qemu.bus import PrivateBus
from sidecar.qemu.bus_daemon import LINES_A_MINUTE, PROGRAM, BusDaemon
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
    names: list[list[str]] = await connection.request(BUS, BUS_PATH, BUS, "ListNames", timeout=30)
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
        await connection.request(BUS, BUS_PATH, BUS, "Hello", timeout=30)
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


async def test_the_socket_may_have_any_name_and_nothing_is_beside_it(short_dir: Path) -> None:
    path = short_dir / "a b" / "c,d=é.sock"
    async with PrivateBus(path.parent, name=path.name) as bus:
        assert path.is_socket()
        assert BUS in await names_on(bus)
        assert list(path.parent.iterdir()) == [path]


async def test_a_directory_that_was_there_stays(short_dir: Path) -> None:
    async with PrivateBus(short_dir):
        pass
    assert list(short_dir.iterdir()) == []


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


@pytest.mark.parametrize("found", ["nothing", "not executable"])
async def test_a_missing_program_is_said_plainly(
    found: str, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if found == "not executable":
        (short_dir / PROGRAM).touch(mode=0o644)
    monkeypatch.setenv("PATH", str(short_dir))
    with pytest.raises(BusError, match="install the package dbus"):
        async with PrivateBus(short_dir / "bus"):
            pass
    assert not (short_dir / "bus").exists()


async def test_a_program_that_cannot_run_is_said_plainly(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = short_dir / PROGRAM
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(short_dir))
    with pytest.raises(BusError, match="does not start: Exec format error"):
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
    with pytest.raises(BusError, match="does not start: Failed to start message bus: Failed to bind"):
        async with PrivateBus(short_dir, name="missing/socket"):
            pass
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_socket_left_by_a_dead_daemon_is_replaced(short_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(short_dir / "bus"))
    async with PrivateBus(short_dir) as bus:
        assert BUS in await names_on(bus)


async def test_a_bus_that_lives_keeps_its_place(short_dir: Path) -> None:
    async with PrivateBus(short_dir) as bus:
        with pytest.raises(BusError, match=r"another process answers on .*/bus: stop it"):
            async with PrivateBus(short_dir):
                pass
        assert await bus.answers()


async def test_a_file_that_is_no_socket_is_kept(short_dir: Path) -> None:
    (short_dir / "bus").write_text("notes")
    with pytest.raises(BusError, match="is no socket: remove it"):
        async with PrivateBus(short_dir):
            pass
    assert (short_dir / "bus").read_text() == "notes"


@as_root
async def test_the_socket_of_another_user_is_named(short_dir: Path) -> None:
    short_dir.chmod(0o777)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(short_dir / "bus"))
    (short_dir / "bus").chmod(0o600)
    os.seteuid(FRIEND)
    try:
        with pytest.raises(BusError, match="belongs to user 0: remove it"):
            async with PrivateBus(short_dir):
                pass
    finally:
        os.seteuid(0)


@as_root
async def test_where_root_may_not_give_files_away_the_daemon_alone_turns_others_away(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    # stands for a root without that capability, or on NFS
    monkeypatch.setattr(os, "chown", refused)
    short_dir.chmod(0o755)
    async with PrivateBus(short_dir / "bus", allow_uid=FRIEND) as bus:
        await say_hello_as(FRIEND, bus.socket_path)
        with pytest.raises(ConnectionLost):
            await say_hello_as(FOE, bus.socket_path)


async def test_the_socket_of_a_successor_is_not_taken_away(short_dir: Path) -> None:
    async with PrivateBus(short_dir) as bus:
        bus.socket_path.unlink()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(bus.socket_path))
    assert bus.socket_path.is_socket()


async def test_it_is_ready_at_once_and_again_when_it_has_died(short_dir: Path) -> None:
    async with PrivateBus(short_dir) as bus:
        await bus.ready(within=0)
        assert (bus.generation, bus.failure) == (1, "")
        pid = bus.pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        await bus.ready(within=DEADLINE)
        assert (bus.generation, bus.failure) == (2, "")
        assert BUS in await names_on(bus)


async def test_one_that_cannot_be_started_again_says_why_until_it_can(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = []
    async with PrivateBus(short_dir / "bus") as bus:
        bus.changes.subscribe(lambda: failures.append(bus.failure))
        pid = bus.pid
        assert pid
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(short_dir))
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: "not installed" in bus.failure, "it has been tried")
            with pytest.raises(NotReady, match=r"cannot be started again: .*install the package dbus"):
                await bus.ready(within=0)
        # the next attempt would be seconds away, but somebody needs it
        await bus.ready(within=DEADLINE)
        assert BUS in await names_on(bus)
    assert [failure.partition(":")[0] for failure in failures] == [
        "the machine's bus has ended, and is being started again",
        "the machine's bus has ended, and cannot be started again",
        "",
    ]


async def test_one_that_has_lost_its_socket_is_replaced_when_nobody_uses_it(short_dir: Path) -> None:
    async with PrivateBus(short_dir / "bus") as bus:
        bus.socket_path.unlink()
        bus.directory.rmdir()
        with pytest.raises(NotReady, match="was taken away: shut the machine down"):
            await bus.ready(within=0, mend=False)
        assert bus.generation == 1
        await bus.ready(within=DEADLINE)
        assert bus.generation == 2
        assert BUS in await names_on(bus)
    assert list(short_dir.iterdir()) == []


async def test_a_stale_socket_in_its_place_is_replaced_too(short_dir: Path) -> None:
    # what another pod leaves on a volume that both have
    async with PrivateBus(short_dir) as bus:
        bus.socket_path.unlink()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(bus.socket_path))
        await bus.ready(within=DEADLINE)
        assert BUS in await names_on(bus)


async def test_one_that_does_not_answer_is_not_ready(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.qemu.bus.ANSWER_TIMEOUT", 0.1)
    async with PrivateBus(short_dir) as bus:
        assert bus.pid
        os.kill(bus.pid, signal.SIGSTOP)
        with pytest.raises(NotReady, match="does not answer"):
            await bus.ready(within=0)


COMPLAINS = """#!/bin/sh
for word in "$@"; do case $word in --print-address=*) descriptor=${word#*=};; esac; done
i=0
while [ $i -lt 3000 ]; do
    echo "dbus-daemon[$$]: complaint $i of somebody who does not stop" >&2
    i=$((i+1))
done
echo unix:path=/nowhere > /proc/$$/fd/$descriptor
exec sleep 60
"""
"""Stands for dbus-daemon, which cannot be made to complain so much in a short time."""


async def test_complaints_do_not_fill_the_log_and_hold_nobody_up(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = short_dir / PROGRAM
    program.write_text(COMPLAINS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{short_dir}:{os.environ['PATH']}")
    caplog.set_level("INFO")
    daemon = BusDaemon()
    await daemon.start("")
    pid = daemon.pid
    await daemon.end()
    assert not exists(pid)
    assert 1 <= caplog.text.count("the private bus says") <= LINES_A_MINUTE


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


async def test_one_that_cannot_be_started_for_want_of_descriptors_is_tried_again(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async with PrivateBus(short_dir) as bus:
        first = bus.pid
        assert first
        with monkeypatch.context() as patched:
            patched.setattr(os, "pidfd_open", none_left)
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: "Too many open files" in bus.failure, "it says why")
            assert bus.pid is None
        await eventually(lambda: bus.pid is not None, "it is started again")
        await listens(bus)
    assert list(short_dir.iterdir()) == []
