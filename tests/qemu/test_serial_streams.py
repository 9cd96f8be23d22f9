"""A real QEMU's serial ports through VNC sessions: shared, written, flooded, plugged, and given back."""

import asyncio
import contextlib
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from attached_guest import attached
from support.bus import Bus
from support.linux_guest import USER, LinuxGuest, Result, run_commands
from support.qemu import PEER_TO_PEER_DISPLAY, Qemu, dbus_display
from support.stream_client import DATA, HISTORY, WRITE, Stream, StreamClient
from support.waiting import eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.qemu.attach import Attach, BusAttach, QmpAttach
from sidecar.qemu.connection import connect_to_bus
from sidecar.qemu.guest import QemuGuest
from sidecar.qemu.link import ROOT
from sidecar.qemu.serial_port import CHARDEV
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.registry import Registry
from sidecar.vnc.capabilities import Extension
from sidecar.vnc.server import VncServer
from sidecar.vnc.streams import KEPT, WINDOW, streams_tunnel

FIRST, SECOND = "org.qemu.console.serial.0", "serial1"
FLOOD, QUIET = b"\1", b"\0"

PORTS = (
    *("-chardev", f"dbus,id=serial0,name={FIRST}", "-serial", "chardev:serial0"),
    *("-chardev", f"dbus,id=serial1,name={FIRST}", "-serial", "chardev:serial1"),
    *("-chardev", "dbus,id=mon0,name=org.qemu.monitor.hmp.0", "-mon", "chardev=mon0"),
)

LONG = 120.0
"""Seconds for what takes a busy machine long, a quiet one some three."""

LINE = 64
"""Bytes of each line of the guest's flood."""


@pytest.fixture(scope="module")
def serial_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The machine that speaks at its serial ports, see `guest/serial.asm`."""
    image = tmp_path_factory.mktemp("guest") / "serial.img"
    source = Path(__file__).parent / "guest" / "serial.asm"
    subprocess.run(["nasm", "-f", "bin", "-o", str(image), str(source)], check=True)
    return image


@pytest.fixture
def qemu(start_qemu: Callable[..., Qemu], serial_image: Path, bus: Bus) -> Qemu:
    """QEMU with two serial ports and a monitor on D-Bus."""
    return start_qemu(dbus_display(bus.address), image=serial_image, extra=PORTS)


@dataclass
class House:
    """A VNC server before a QEMU."""

    guest: QemuGuest
    port: int
    clients: contextlib.AsyncExitStack

    async def client(self, **options: Any) -> StreamClient:
        client = await StreamClient.connect(("127.0.0.1", self.port), **options)
        return await self.clients.enter_async_context(client)


@contextlib.asynccontextmanager
async def served(
    attach: Attach, policy: WritePolicy = WritePolicy.EVERYBODY, *, monitors: bool = False
) -> AsyncIterator[House]:
    with ThreadPoolExecutor(2) as pool:
        async with attached(attach) as guest:
            with (
                contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts,
                contextlib.closing(SerialLines(guest, write=policy, monitors=monitors)) as lines,
            ):
                server = VncServer(
                    guest,
                    Registry(),
                    broadcasts,
                    Seats(guest),
                    layout=Layout("us"),
                    tunnels=[streams_tunnel(lines)],
                    offered=Extension.STREAMS,
                )
                async with server, contextlib.AsyncExitStack() as clients:
                    yield House(guest, await server.listen_tcp("127.0.0.1", 0), clients)


async def echoed(client: StreamClient, stream: Stream, data: bytes) -> None:
    """Types as soon as that is allowed, and waits until it has come back."""
    await client.follow(lambda: stream.flags & WRITE, "the client may write")
    before = len(stream.data)
    await client.write(stream, data)
    await client.follow(lambda: data in stream.data[before:], f"{data[:20]!r} comes back")


def numbers(data: bytes) -> list[int]:
    """The numbers of the whole lines of a flood, which nothing else may be between."""
    start = re.search(rb"[0-9A-F]{8}\.", data)
    assert start, data[:100]
    whole = data[start.start() :]
    whole = whole[: len(whole) // LINE * LINE]
    lines = [whole[at : at + LINE] for at in range(0, len(whole), LINE)]
    assert all(line[8:] == b"." * 54 + b"\r\n" for line in lines)
    return [int(line[:8], 16) for line in lines]


def without_gaps(found: list[int]) -> bool:
    return found == list(range(found[0], found[0] + len(found)))


async def test_many_read_and_write_what_a_machine_says_at_its_ports(qemu: Qemu, bus: Bus) -> None:
    async with served(BusAttach(bus.address)) as house:
        early, other = await house.client(), await house.client()
        stream = await early.open(FIRST)
        assert set(early.streams) == {FIRST, SECOND}, "the monitor is not offered"
        await early.follow(lambda: stream.flags == WRITE | HISTORY, "the port is open")
        assert (stream.kind, stream.label) == (0, "serial0")
        await echoed(early, stream, b"early\r\n")

        # who comes later finds what was said, and hears the rest; each may write
        late = await other.open(FIRST)
        await other.follow(lambda: b"early\r\n" in late.data, "the late one sees what was said")
        await echoed(other, late, b"late\r\n")
        await early.follow(lambda: b"late\r\n" in stream.data, "the early one hears the late one")

        # the ports are not mixed up
        second = await early.open(SECOND, WRITE)
        await echoed(early, second, b"second")
        await early.send_break(second)
        await early.follow(lambda: b"BREAK\r\n" in second.data, "the machine has got a break")
        assert b"second" not in stream.data
        assert b"BREAK" not in stream.data

        # more than a client may be ahead: none of it is lost, since credit comes as the machine reads
        text = b"".join(b"%07d\n" % number for number in range(WINDOW * 5 // 4 // 8))
        before = len(second.data)
        await early.write(second, text)
        await early.follow(lambda: len(second.data) - before >= len(text), "all of it comes back", LONG)
        assert second.data[before:] == text

        # a stream that is closed is silent, and the other one is not
        await other.close_stream(late)
        heard = len(late.data)
        await echoed(early, stream, b"unheard")
        again = await other.open(FIRST, HISTORY)
        await other.follow(lambda: b"unheard" in again.data, "the history tells it")
        assert heard
        assert again.flags == HISTORY, "it did not ask to write"


async def test_a_flood_stops_nobody_and_who_does_not_keep_up_is_told(qemu: Qemu, bus: Bus) -> None:
    async with served(BusAttach(bus.address)) as house:
        reader, sleeper, deaf = [await house.client() for _ in range(3)]
        slow = await sleeper.open(FIRST, credit=10 * LINE)
        slow.keeps_up = False
        # reads nothing at all from now on
        await deaf.open(FIRST, credit=1 << 30)
        stream = await reader.open(FIRST)
        await reader.follow(lambda: stream.flags & WRITE, "the client may write")
        await reader.write(stream, FLOOD)
        await reader.follow(lambda: len(stream.data) > 64 * LINE, "the flood is there")
        updates = reader.updates
        enough = KEPT + 64 * 1024
        await reader.follow(lambda: len(stream.data) > enough, "the flood goes on", LONG)
        assert reader.updates - updates >= 3, "and the picture with it"
        await reader.write(stream, QUIET)
        await echoed(reader, stream, b"quiet")
        found = numbers(stream.data[: stream.data.index(b"quiet")])
        assert found[0] == 0
        assert without_gaps(found)

        # the one that gave little credit has got as much, then a gap that it is told of, then the newest
        slow.keeps_up = True
        await sleeper.credit(slow, 1 << 30)
        await sleeper.follow(lambda: b"quiet" in slow.data, "the rest comes", LONG)
        told = re.search(rb"\r\n\[(\d+) bytes left out\]\r\n", slow.data)
        assert told
        head, tail = slow.data[: told.start()], slow.data[told.end() : slow.data.index(b"quiet")]
        assert numbers(head) == list(range(10))
        newest = numbers(tail)
        assert without_gaps(newest)
        assert newest[-1] == found[-1]
        assert int(told[1]) == (newest[0] - 10) * LINE


async def test_streams_stay_open_while_the_machine_is_gone(qemu: Qemu, bus: Bus) -> None:
    async with served(BusAttach(bus.address)) as house:
        client = await house.client()
        stream = await client.open(FIRST)
        await echoed(client, stream, b"before")
        qemu.kill()
        await client.follow(lambda: not stream.flags & WRITE, "nobody may write")
        await client.write(stream, b"lost")
        qemu.start()
        await client.follow(lambda: stream.flags & WRITE, "the machine is back")
        await echoed(client, stream, b"after")
        assert stream.data == b"beforeafter"
        assert client.streams[FIRST] is stream


async def test_one_at_a_time_writes_if_that_is_the_policy(qemu: Qemu, bus: Bus) -> None:
    async with served(BusAttach(bus.address), WritePolicy.ONE) as house:
        first, second = await house.client(), await house.client()
        holder, other = await first.open(FIRST), await second.open(FIRST)
        await second.follow(lambda: other.flags & WRITE, "either may begin")
        await echoed(first, holder, b"mine")
        await second.follow(lambda: not other.flags & WRITE, "the other one is told")
        told = other.rights_told
        await second.write(other, b"not yours")
        await second.follow(lambda: other.rights_told > told, "it is told again, and nothing was written")
        await first.close_stream(holder)
        await second.follow(lambda: other.flags & WRITE, "it is free again")
        await echoed(second, other, b"now mine")
        assert other.data == b"minenow mine"


async def test_a_monitor_that_was_asked_for_answers(qemu: Qemu, bus: Bus) -> None:
    async with served(BusAttach(bus.address), monitors=True) as house:
        client = await house.client()
        stream = await client.open("org.qemu.monitor.hmp.0")
        assert stream.kind == 1
        await client.follow(lambda: stream.flags & WRITE, "the client may write")
        await client.write(stream, b"info name\r")
        await client.follow(lambda: b"\nguest\r\n" in stream.data, "the monitor answers")


async def test_a_port_that_somebody_else_reads_is_taken_when_it_is_free(qemu: Qemu, bus: Bus) -> None:
    somebody = await connect_to_bus(bus.address)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            await somebody.request(
                "org.qemu",
                f"{ROOT}/Chardev_serial0",
                CHARDEV,
                "Register",
                signature="h",
                body=[0],
                unix_fds=[theirs.fileno()],
            )
        async with served(BusAttach(bus.address)) as house:
            await eventually(
                lambda: SECOND in house.guest.ports and house.guest.ports[SECOND].is_open,
                "the other port is open",
            )
            assert not house.guest.ports["org.qemu.monitor.hmp.0"].is_open
            client = await house.client()
            stream = await client.open(FIRST)
            assert not stream.flags & WRITE
            ours.close()
            await client.follow(lambda: stream.flags & WRITE, "the port is ours")
            await echoed(client, stream, b"at last")
    somebody.close()


@pytest.mark.parametrize("peer_to_peer", [False, True], ids=["bus", "p2p"])
async def test_ports_are_plugged_and_unplugged(
    start_qemu: Callable[..., Qemu], serial_image: Path, bus: Bus, short_dir: Path, peer_to_peer: bool
) -> None:
    attach: Attach
    if peer_to_peer:
        path = short_dir / "qmp"
        extra = (*PORTS, "-qmp", f"unix:{path},server=on,wait=off")
        qemu, attach = start_qemu(PEER_TO_PEER_DISPLAY, image=serial_image, extra=extra), QmpAttach(path)
    else:
        qemu = start_qemu(dbus_display(bus.address), image=serial_image, extra=PORTS)
        attach = BusAttach(bus.address)
    loop = asyncio.get_running_loop()

    async def monitor(command: str, **arguments: Any) -> None:
        # QEMU may wait for us meanwhile
        await loop.run_in_executor(None, lambda: qemu.qmp(command, **arguments))

    async with served(attach) as house:
        client = await house.client()
        stream = await client.open(FIRST)
        backend = {"type": "dbus", "data": {"name": "org.qemu.console.serial.1"}}
        await monitor("chardev-add", id="hot", backend=backend)
        plugged = await client.open("org.qemu.console.serial.1")
        assert plugged.label == "hot"
        await client.follow(lambda: plugged.flags & WRITE, "it can be written to")
        # a device may take it, and whoever reads it notices nothing
        await monitor("device_add", driver="pci-serial", id="card", chardev="hot")
        await monitor("chardev-add", id="cold", backend={"type": "dbus", "data": {"name": FIRST}})
        await client.follow(lambda: "cold" not in client.streams, "only serial ports are offered")
        await monitor("chardev-add", id="serial7", backend={"type": "dbus", "data": {"name": FIRST}})
        brief = await client.open("serial7")
        await monitor("chardev-remove", id="serial7")
        await client.follow(lambda: brief.withdrawn, "it is withdrawn")
        await echoed(client, stream, b"the others stay")
        assert plugged.is_open


async def test_somebody_logs_in_to_a_linux_machine_through_a_stream(bus: Bus, short_dir: Path) -> None:
    directory = short_dir / "linux"
    directory.mkdir()
    with contextlib.closing(LinuxGuest(directory, dbus_display(bus.address), serial_ports=1)):
        async with served(BusAttach(bus.address)) as house:
            client = await house.client()
            stream = await client.open(FIRST)
            await client.follow(lambda: stream.flags & WRITE, "the client may write")
            came = asyncio.Event()
            seen = 0

            async def read() -> None:
                while True:
                    await client.receive()
                    came.set()

            async def receive() -> bytes:
                nonlocal seen
                while seen == len(stream.data):
                    came.clear()
                    await came.wait()
                new, seen = bytes(stream.data[seen:]), len(stream.data)
                return new

            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(read())

                def send(data: bytes) -> None:
                    tasks.create_task(client.say(DATA, stream.number, data))

                results = await run_commands(send, receive, "id -un", "tty; false")
                reading.cancel()
    assert results == [Result(USER, 0), Result("/dev/ttyS1", 1)]
