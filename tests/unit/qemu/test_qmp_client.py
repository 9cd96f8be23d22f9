"""The monitor client against a monitor that the test plays; a real one is in tests/qemu."""

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path

import pytest
from monitor_side import GREETING, monitor, returns

from sidecar.machine import MachineUnreachable
from sidecar.qemu.errors import ConnectionLost, QmpRefused
from sidecar.qemu.machine import QmpMachine
from sidecar.qemu.machine_monitor import SocketMonitor
from sidecar.qemu.qmp import MAX_LINE, Qmp


async def test_a_command_returns_its_value_whatever_else_comes(short_dir: Path) -> None:
    def answer(command: dict[str, object]) -> bytes:
        noise = b'{"event": "RESET", "timestamp": {}}\r\n{"return": 1, "id": 999}\r\n{"return": 2}\r\n\r\n'
        return noise + returns({"status": "running"})(command)

    async with monitor(short_dir / "qmp", answer), Qmp(short_dir / "qmp") as qmp:
        assert await qmp.execute("query-status") == {"status": "running"}


async def test_several_commands_may_wait_at_once(short_dir: Path) -> None:
    def answer(command: dict[str, object]) -> bytes:
        return returns(command["execute"])(command)

    async with monitor(short_dir / "qmp", answer), Qmp(short_dir / "qmp") as qmp:
        names = [f"command-{number}" for number in range(20)]
        assert await asyncio.gather(*(qmp.execute(name) for name in names)) == names


async def test_a_refusal_has_qemus_words(short_dir: Path) -> None:
    def answer(command: dict[str, object]) -> bytes:
        if command["execute"] == "qmp_capabilities":
            return returns({})(command)
        return (
            json.dumps({"error": {"class": "GenericError", "desc": "No"}, "id": command["id"]}).encode()
            + b"\n"
        )

    async with monitor(short_dir / "qmp", answer), Qmp(short_dir / "qmp") as qmp:
        with pytest.raises(QmpRefused, match="No"):
            await qmp.execute("add_client")


async def test_an_event_is_heard_by_who_waits_for_it(short_dir: Path) -> None:
    def answer(command: dict[str, object]) -> bytes:
        noise = b'{"event": ["RESET"]}\n{"event": "RESET", "data": 7}\n{"event": "STOP"}\n{"id": [1]}\n'
        return noise + b'{"event": "RESET", "data": {"guest": true}}\n' + returns({})(command)

    async with monitor(short_dir / "qmp", answer), Qmp(short_dir / "qmp") as qmp:
        with qmp.event(lambda event, data: event == "RESET") as reset:
            await qmp.execute("system_reset")
            assert await reset == ("RESET", {"guest": True})
        # who does not wait any more hears nothing
        assert await qmp.execute("system_reset") == {}


async def test_a_monitor_that_takes_half_of_a_command_is_given_up(short_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short_dir / "qmp"))
        server.listen()
        server.setblocking(False)

        async def play() -> socket.socket:
            loop = asyncio.get_running_loop()
            sock, _ = await loop.sock_accept(server)
            await loop.sock_sendall(sock, GREETING)
            await loop.sock_recv(sock, 65536)
            await loop.sock_sendall(sock, b'{"return": {}, "id": 1}\n')
            return sock

        playing = asyncio.create_task(play())
        async with Qmp(short_dir / "qmp") as qmp:
            with await playing:
                with pytest.raises(ConnectionLost, match="does not read"):
                    await qmp.execute("qom-set", {"value": "x" * (8 << 20)})
                # anything else would be read as the rest of it
                async with asyncio.timeout(30):
                    await qmp.wait_closed()
                assert not qmp.is_open


async def test_an_event_that_can_no_longer_come_is_not_waited_for(short_dir: Path) -> None:
    def answer(command: dict[str, object]) -> bytes:
        return returns({})(command) if command["execute"] == "qmp_capabilities" else b""

    async with monitor(short_dir / "qmp", answer), Qmp(short_dir / "qmp") as qmp:
        with qmp.event(lambda event, data: True) as event:
            with pytest.raises(ConnectionLost):
                await qmp.execute("quit")
            with pytest.raises(ConnectionLost):
                await event
        assert not qmp.is_open


async def test_descriptors_travel_with_their_command(short_dir: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(short_dir / "qmp"))
    server.listen()
    server.setblocking(False)

    async def play() -> int:
        loop = asyncio.get_running_loop()
        sock, _ = await loop.sock_accept(server)
        with sock:
            await loop.sock_sendall(sock, GREETING)
            await loop.sock_recv(sock, 65536)
            await loop.sock_sendall(sock, b'{"return": {}, "id": 1}\n')
            ready = asyncio.Event()
            loop.add_reader(sock, ready.set)
            await ready.wait()
            loop.remove_reader(sock)
            _, descriptors, _, _ = socket.recv_fds(sock, 65536, 4)
            inode = os.fstat(descriptors[0]).st_ino
            os.close(descriptors[0])
            await loop.sock_sendall(sock, b'{"return": {}, "id": 2}\n')
        return inode

    playing = asyncio.create_task(play())
    reading, writing = os.pipe()
    async with Qmp(short_dir / "qmp") as qmp:
        assert await qmp.execute("getfd", {"fdname": "x"}, [reading]) == {}
        assert await playing == os.fstat(reading).st_ino
        await qmp.wait_closed()
        with pytest.raises(ConnectionLost):
            await qmp.execute("query-status")
    for descriptor in (reading, writing):
        os.close(descriptor)
    server.close()


async def test_a_monitor_that_hangs_up_loses_those_who_wait(short_dir: Path) -> None:
    def answer(command: dict[str, object]) -> bytes:
        return returns({})(command) if command["execute"] == "qmp_capabilities" else b""

    async with monitor(short_dir / "qmp", answer), Qmp(short_dir / "qmp") as qmp:
        with pytest.raises(ConnectionLost):
            await qmp.execute("quit")


@pytest.mark.parametrize(
    "text",
    [b"no JSON\n", b"[1]\n", b"[" * 100_000 + b"\n", b"x" * (MAX_LINE + 2)],
    ids=lambda t: t[:9].decode(),
)
async def test_what_is_no_monitor_is_said_plainly(short_dir: Path, text: bytes) -> None:
    async with monitor(short_dir / "qmp", lambda command: text):
        with pytest.raises(ConnectionLost):
            async with Qmp(short_dir / "qmp"):
                pass


async def test_no_monitor_is_said_plainly(short_dir: Path) -> None:
    with pytest.raises(ConnectionLost, match=f"no monitor at {short_dir}/qmp"):
        async with Qmp(short_dir / "qmp"):
            pass


async def test_a_monitor_with_too_many_in_its_queue_is_told_as_one_that_is_busy(short_dir: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(short_dir / "qmp"))
        server.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                other = stack.enter_context(socket.socket(socket.AF_UNIX))
                other.setblocking(False)
                other.connect(str(short_dir / "qmp"))
        with pytest.raises(ConnectionLost, match="does not answer"):
            async with Qmp(short_dir / "qmp"):
                pass
        with pytest.raises(MachineUnreachable, match="is another program connected to it"):
            await QmpMachine(SocketMonitor(short_dir / "qmp")).pause()


async def test_nothing_stays_open(short_dir: Path) -> None:
    async with monitor(short_dir / "qmp", returns({})):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            async with Qmp(short_dir / "qmp"):
                pass
        with pytest.raises(ConnectionLost):
            async with Qmp(short_dir / "none"):
                pass
        await asyncio.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) == before
