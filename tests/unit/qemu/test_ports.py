"""Which of QEMU's character devices are ports, under which names, and how one is opened, read and written.

A double stands for the link to QEMU, and holds the other end of every socket; a real QEMU is in tests/qemu.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from support.waiting import eventually

from sidecar.guest import PortKind
from sidecar.qemu.errors import CallRefused, ConnectionLost
from sidecar.qemu.link import Link, PropertyObserver
from sidecar.qemu.ports import MAX_NAME, kind_of, presentable, unique_name
from sidecar.qemu.serial_port import CHARDEV, MAX_READ, MAX_UNSENT, QemuSerialPort

PATH = "/org/qemu/Display1/Chardev_serial0"


class FakeLink(Link):
    """QEMU's side of Chardev. `answers`: what the next calls raise."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.calls: list[str] = []
        self.errors: list[Exception] = []
        self.observers: dict[str, PropertyObserver] = {}

    async def call(
        self,
        path: str,
        interface: str,
        member: str,
        *,
        signature: str = "",
        body: Sequence[Any] = (),
        unix_fds: Sequence[int] = (),
        timeout: float = 30.0,
    ) -> list[Any]:
        assert (path, interface) == (PATH, CHARDEV)
        self.calls.append(member)
        if self.errors:
            raise self.errors.pop(0)
        if member == "Register":
            (number,) = unix_fds
            qemu = socket.socket(fileno=os.dup(number))
            qemu.setblocking(False)
            self.sockets.append(qemu)
        return []

    def observe(self, path: str, observer: PropertyObserver) -> Callable[[], None]:
        self.observers[path] = observer
        return lambda: self.observers.clear()

    def close(self) -> None:
        for each in self.sockets:
            each.close()


@contextlib.asynccontextmanager
async def served(port: QemuSerialPort, link: FakeLink) -> AsyncIterator[FakeLink]:
    task = asyncio.create_task(port.serve(link, PATH))
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait([task])
        link.close()
    assert task.cancelled()
    assert not port.is_open


def serial() -> QemuSerialPort:
    return QemuSerialPort("org.qemu.console.serial.0", "serial0", PortKind.SERIAL)


def heard_of(port: QemuSerialPort) -> bytearray:
    """What comes out of a port from now on."""
    heard = bytearray()
    port.output.subscribe(heard.extend)
    return heard


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[tuple[QemuSerialPort, FakeLink, socket.socket]]:
    port = serial()
    heard_of(port)
    async with served(port, FakeLink()) as link:
        await eventually(lambda: port.is_open, "the port is open")
        yield port, link, link.sockets[0]


@pytest.mark.parametrize(
    ("purpose", "label", "kind"),
    [
        ("org.qemu.console.serial.0", "charserial0", PortKind.SERIAL),
        ("org.qemu.console.serial.12", "x", PortKind.SERIAL),
        ("", "serial0", PortKind.SERIAL),
        ("org.qemu.monitor.hmp.0", "compat_monitor0", PortKind.MONITOR),
        ("org.qemu.monitor.qmp.0", "serial0", PortKind.MONITOR),
        ("", "compat_monitor0", PortKind.MONITOR),
        ("org.qemu.usbredir", "charredir0", PortKind.USB_REDIRECTION),
        ("org.qemu.vdagent", "serial0", None),
        ("", "parallel0", PortKind.CHANNEL),
        ("org.example.serial", "serial0", PortKind.CHANNEL),
    ],
)
def test_a_port_is_what_its_name_says_or_else_its_label(
    purpose: str, label: str, kind: PortKind | None
) -> None:
    assert kind_of(purpose, label) is kind


def test_names_are_unique() -> None:
    taken: list[str] = []
    for purpose, label in (
        ("a", "serial0"),
        ("a", "serial1"),
        ("", "serial2"),
        ("serial3", "x"),
        ("a", "serial3"),
    ):
        taken.append(unique_name(purpose, label, taken))
    assert taken == ["a", "serial1", "serial2", "serial3", "serial3-2"]


def test_names_are_fit_for_a_terminal() -> None:
    assert presentable("a\x1b[2Jb\n") == "a?[2Jb?"
    assert len(presentable("x" * 10_000)) == MAX_NAME


async def test_a_port_is_opened_once_for_all_who_listen() -> None:
    async with opened() as (port, link, qemu):
        first, second = heard_of(port), heard_of(port)
        qemu.send(b"login: ")
        await eventually(lambda: first == second == b"login: ", "both hear it")
        assert link.calls == ["Register"]


async def test_it_is_opened_again_when_qemu_ends_the_socket() -> None:
    async with opened() as (port, link, qemu):
        told: list[bool] = []
        port.changes.subscribe(lambda: told.append(port.is_open))
        qemu.close()
        await eventually(lambda: told == [False, True], "it is opened again")
        heard = heard_of(port)
        link.sockets[1].send(b"again")
        await eventually(lambda: heard == b"again", "and read")


async def test_one_that_somebody_else_has_is_opened_when_it_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port, link = serial(), FakeLink()
    heard_of(port)
    link.errors = [CallRefused("org.qemu.Display1.Error.Failed", "Couldn't register FD!") for _ in range(3)]
    async with served(port, link):
        for number in range(1, 4):
            await eventually(lambda number=number: len(link.calls) >= number, "it is tried again")
            # as often as QEMU says that nobody has it
            link.observers[PATH](CHARDEV, {"Owner": ""})
        await eventually(lambda: port.is_open, "it is open")
    assert caplog.text.count("open elsewhere") == 1


async def test_a_link_that_ends_is_no_error_of_the_port() -> None:
    port, link = serial(), FakeLink()
    heard_of(port)
    link.errors = [ConnectionLost("gone")]
    async with served(port, link):
        await eventually(lambda: port.is_open, "it is open")
        link.errors = [ConnectionLost("gone")]
        await port.send_break()
    await port.send_break()
    assert link.calls.count("SendBreak") == 1


async def test_what_may_be_another_programs_is_opened_only_while_somebody_listens() -> None:
    port = serial()
    async with served(port, FakeLink()) as link:
        await asyncio.sleep(0)
        assert link.calls == []
        heard = bytearray()
        leave = [port.output.subscribe(heard.extend), port.output.subscribe(lambda _: None)]
        await eventually(lambda: port.is_open, "it is open")
        link.sockets[0].send(b"hello")
        await eventually(lambda: heard == b"hello", "it is read")
        leave[0]()
        leave[0]()
        assert port.is_open
        leave[1]()
        await eventually(lambda: not port.is_open, "it is closed")
        assert link.sockets[0].recv(1) == b""


async def test_a_flood_is_read_in_pieces_and_others_have_their_turns() -> None:
    async with opened() as (port, _, qemu):
        pieces: list[int] = []
        port.output.subscribe(lambda data: pieces.append(len(data)))
        loop, turns, total = asyncio.get_running_loop(), 0, 4 << 20

        def flood() -> None:
            with contextlib.suppress(BlockingIOError):
                qemu.send(bytes(1 << 20))

        loop.add_writer(qemu, flood)
        while sum(pieces) < total:
            turns += 1
            await asyncio.sleep(0)
        loop.remove_writer(qemu)
        assert max(pieces) <= MAX_READ
        assert turns >= len(pieces)


async def test_a_machine_that_does_not_read_is_written_to_within_bounds() -> None:
    async with opened() as (port, _, qemu):
        text = bytes(range(256)) * 4096
        taken = port.write(text)
        assert port.write_backlog <= MAX_UNSENT
        while (more := port.write(text[taken:])) > 0:
            taken += more
        assert port.write_backlog == MAX_UNSENT
        assert taken < MAX_UNSENT + 256 * 1024
        got = bytearray()

        def drained() -> bool:
            with contextlib.suppress(BlockingIOError):
                got.extend(qemu.recv(65536))
            return len(got) == taken

        await eventually(drained, "the machine takes it all")
        assert got == text[:taken]
        assert port.write_backlog == 0


async def test_what_was_not_taken_is_lost_with_the_machine() -> None:
    async with opened() as (port, _, qemu):
        while port.write(bytes(65536)):
            pass
        states: list[tuple[bool, int]] = []
        port.changes.subscribe(lambda: states.append((port.is_open, port.write_backlog)))
        qemu.close()
        await eventually(lambda: len(states) == 2, "it is closed and opened again")
        assert states == [(False, 0), (True, 0)]


async def test_nothing_is_written_while_nothing_is_there() -> None:
    assert serial().write(b"x") == 0


async def test_a_port_that_is_held_leaves_what_comes_with_the_machine() -> None:
    async with opened() as (port, _link, qemu):
        heard = heard_of(port)
        port.hold(True)
        port.hold(True)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                # what nobody reads fills the socket, and then QEMU waits
                sent += qemu.send(bytes(4096))
        assert not heard
        port.hold(False)
        await eventually(lambda: len(heard) == sent, "all of it is heard")


async def test_a_flood_that_is_held_stays_so_and_the_next_socket_is_not_held() -> None:
    async with opened() as (port, link, qemu):
        heard = heard_of(port)
        qemu.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sent = qemu.send(bytes(MAX_READ))
        # as soon as anything was heard the port pauses by itself
        unsubscribe = port.output.subscribe(lambda _: port.hold(True))
        await eventually(lambda: heard, "some is heard")
        before = len(heard)
        unsubscribe()
        sent += qemu.send(b"more")
        # once around: a port that was not held would have been read in its pause's end
        await asyncio.sleep(0.05)
        assert len(heard) == before
        port.hold(False)
        await eventually(lambda: len(heard) == sent, "the rest is heard")
        port.hold(True)
        qemu.close()
        # nothing is read from a socket that is held, not even its end
        port.hold(False)
        await eventually(lambda: len(link.sockets) == 2 and port.is_open, "it is opened again")
        link.sockets[1].send(b"again")
        await eventually(lambda: heard.endswith(b"again"), "and read")
