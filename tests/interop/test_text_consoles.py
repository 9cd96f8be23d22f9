"""TigerVNC goes to a text console by its keys, works in a shell there, and nobody else's picture moves.

The guest is a double, but the serial port is the terminal of a real shell.
"""

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.rfb_client import AsyncRfbClient
from support.rfb_wire import ALL_PSEUDO, Encoding
from support.synthetic_guest import SyntheticConsole, SyntheticGuest, SyntheticPort
from support.viewers import TigerVnc, XServer
from support.waiting import eventually

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.serial.line import SerialLines, WritePolicy
from sidecar.session.registry import Registry
from sidecar.terminal.console import TerminalConsole
from sidecar.terminal.guest import TerminalGuest
from sidecar.vnc.server import VncServer

ROWS, COLUMNS = 25, 80
CTRL, ALT, A = 0x1D, 0x38, 0x1E
"""Key numbers."""

TYPED = [*((key, key) for key in "echo"), ("space", " "), ("shift+h", "H"), ("2", "2"),
         ("shift+semicolon", ":"), ("plus", "+")]  # fmt: skip
"""By X's names, and what they make."""

END_OF_SHELL = 30
"""Seconds that it has to end in."""


class ShellPort(SyntheticPort):
    """A port with a shell at its other end."""

    def __init__(self, directory: Path) -> None:
        super().__init__("org.qemu.console.serial.0")
        self._fd, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {"PATH": "/usr/bin:/bin", "TERM": "linux", "PS1": "guest$ ", "LC_ALL": "C.UTF-8"}
        self._shell = subprocess.Popen(
            ["setsid", "--ctty", "/bin/sh", "-i"],
            env=environment,
            cwd=directory,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        os.set_blocking(self._fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except OSError:
            # the shell has ended
            data = b""
        if data:
            self.say(data)
        else:
            self._loop.remove_reader(self._fd)

    def write(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        self._shell.kill()
        self._shell.wait(END_OF_SHELL)
        os.close(self._fd)


@pytest.fixture
async def port(short_dir: Path) -> AsyncIterator[ShellPort]:
    directory = short_dir / "shell"
    directory.mkdir()
    port = ShellPort(directory)
    yield port
    port.close()


@contextlib.contextmanager
def guest_of(port: SyntheticPort) -> Iterator[TerminalGuest]:
    """One screen, and the port as a console."""
    screen = SyntheticConsole(0, 500, 333)
    random = np.random.default_rng(1)
    screen.draw(0, 0, random.integers(0, 1 << 24, (333, 500)).astype(np.uint32))
    guest = SyntheticGuest(screen)
    guest.add_port(port)
    with contextlib.closing(SerialLines(guest, write=WritePolicy.EVERYBODY)) as lines:
        with contextlib.closing(TerminalGuest(guest, lines, Layout("us"))) as wrapped:
            yield wrapped


async def test_tigervnc_works_in_a_shell_and_another_viewer_sees_what_it_saw(
    port: ShellPort, x_server: XServer
) -> None:
    with ThreadPoolExecutor(2) as pool, guest_of(port) as guest:
        seats, registry = Seats(guest), Registry()
        screen, text = guest.consoles.values()
        assert isinstance(screen, SyntheticConsole)
        assert isinstance(text, TerminalConsole)
        graphics = screen.surface.frame.pixels.copy()
        with contextlib.closing(seats), contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
            async with VncServer(guest, registry, broadcasts, seats, layout=Layout("us")) as server:
                tcp_port = await server.listen_tcp("127.0.0.1", 0)
                one = await asyncio.to_thread(TigerVnc, x_server, f"127.0.0.1::{tcp_port}")
                try:
                    async with await AsyncRfbClient.connect(
                        ("127.0.0.1", tcp_port), encodings=(Encoding.TIGHT, *ALL_PSEUDO)
                    ) as other:
                        await other.until_shown(graphics)
                        await eventually(lambda: one.shows(graphics), "the viewer shows the screen")

                        await asyncio.to_thread(one.type, "ctrl+alt+2")
                        # until then its window is given another size, and may miss keys
                        await eventually(lambda: shows_text(one, text, "guest$"), "the viewer shows a prompt")
                        said = "guest$ "
                        for key, character in TYPED:
                            await asyncio.to_thread(one.type, key)
                            said += character
                            await eventually(lambda said=said: shows_text(one, text, said), said)
                        await asyncio.to_thread(one.type, "Return")
                        await eventually(
                            lambda: shows_text(one, text, said, "H2:+", "guest$"), "the shell has answered"
                        )

                        assert sorted(session.console for session in registry) == [0, 16]
                        assert not screen.keyboard.held
                        assert {qnum for _, qnum in screen.keyboard.log} <= {CTRL, ALT}
                        # what was sent to it so far and all that is there to send
                        await other.refresh(incremental=False)
                        assert other.shows(graphics)

                    await asyncio.to_thread(one.type, "ctrl+alt+1")
                    await eventually(lambda: one.shows(graphics), "the viewer is back")
                    await asyncio.to_thread(one.type, "a")
                    await eventually(lambda: ("release", A) in screen.keyboard.log, "the screen has the keys")
                finally:
                    await asyncio.to_thread(one.close)
    assert port.written == b""


def shows_text(viewer: TigerVnc, console: TerminalConsole, *rows: str) -> bool:
    """Whether the console says that, and the viewer shows the console as it is."""
    said = [row for row in console.text() if row]
    return said == [row.rstrip() for row in rows] and viewer.shows(console.surface.frame.pixels)
