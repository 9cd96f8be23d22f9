"""`vdi-sidecar console` in a terminal of its own, against the real server with a synthetic machine."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.certificate import write_certificate
from support.synthetic_guest import SyntheticGuest, SyntheticPort
from support.waiting import DEADLINE, eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.guest import PortKind
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.registry import Registry
from sidecar.vnc.access import Access
from sidecar.vnc.capabilities import Extension
from sidecar.vnc.server import VncServer
from sidecar.vnc.streams import streams_tunnel

PORT = "org.qemu.console.serial.0"


class House:
    """A server with a machine that has one serial port and a monitor."""

    def __init__(self, guest: SyntheticGuest, registry: Registry, server: VncServer, port: int) -> None:
        self.guest = guest
        self.registry = registry
        self.server = server
        self.serial = guest.ports[PORT]
        self.address = f"localhost:{port}"


@contextlib.asynccontextmanager
async def house(
    access: Access | None = None, write: WritePolicy = WritePolicy.EVERYBODY
) -> AsyncIterator[House]:
    guest = SyntheticGuest()
    guest.add_port(SyntheticPort(PORT))
    guest.ports[PORT].label = "serial0"
    registry = Registry()
    with ThreadPoolExecutor(1) as pool, contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        with contextlib.closing(SerialLines(guest, write=write)) as lines:
            server = VncServer(
                guest,
                registry,
                broadcasts,
                Seats(guest),
                access=access,
                layout=Layout("us"),
                tunnels=[streams_tunnel(lines)],
                offered=Extension.STREAMS,
            )
            async with server:
                yield House(guest, registry, server, await server.listen_tcp("127.0.0.1", 0))


class Person:
    """Somebody at a terminal in which the command runs: what is shown, and keys to type."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self._keyboard, self.terminal = pty.openpty()
        self.before = termios.tcgetattr(self.terminal)
        os.set_blocking(self._keyboard, False)
        self._shown = bytearray()
        self.child = subprocess.Popen(
            (sys.executable, "-m", "sidecar", "console", *arguments),
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, **(environment or {})},
        )

    @property
    def shown(self) -> str:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._keyboard, 65536):
                self._shown += data
        return self._shown.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    async def sees(self, text: str) -> None:
        try:
            await eventually(lambda: text in self.shown, text)
        except AssertionError:
            raise AssertionError(f"{text!r} is not shown, but: {self.shown!r}") from None

    async def status(self) -> int:
        """The exit status, once it has ended."""
        await eventually(lambda: (self.shown, self.child.poll() is not None)[1], "the command ends")
        return int(self.child.returncode)

    @property
    def has_its_terminal_back(self) -> bool:
        return termios.tcgetattr(self.terminal) == self.before

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self.terminal)
        os.close(self._keyboard)


@contextlib.contextmanager
def person(*arguments: str, **environment: str) -> Any:
    somebody = Person(arguments, environment)
    try:
        yield somebody
    finally:
        somebody.close()


async def test_a_person_talks_to_the_machine_and_leaves() -> None:
    async with house() as here:
        here.serial.say(b"before\r\n")
        with person("--vnc", here.address) as somebody:
            await somebody.sees("Ctrl-] then q leaves")
            await somebody.sees("before")
            assert not somebody.has_its_terminal_back
            here.serial.say(b"login: \x1b[1m")
            await somebody.sees("login: \x1b[1m")
            somebody.type(b"root\r\x03\x1a")
            await eventually(lambda: here.serial.written == b"root\r\x03\x1a", "the keys arrive")
            somebody.type(b"\x1db")
            await eventually(lambda: here.serial.breaks == 1, "the break arrives")
            somebody.type(b"\x1d\x1d")
            await eventually(lambda: here.serial.written.endswith(b"\x1d"), "the escape character arrives")
            somebody.type(b"\x1dq")
            assert await somebody.status() == 0
            assert somebody.has_its_terminal_back
        await eventually(lambda: here.registry.count() == 0, "the session ends")
