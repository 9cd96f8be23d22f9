"""Asks for a password on the terminal that this process belongs to."""

import asyncio
import os

from sidecar.console.errors import Refused
from sidecar.console.session_signals import SessionSignals
from sidecar.console.terminal import Terminal

LONGEST_LINE = 4096


async def ask_password(signals: SessionSignals) -> str:
    """A line from the terminal, which does not show it. Raises Refused where there is no terminal."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise Refused(
            "the server asks for a password, and there is no terminal to ask at: --password-file names a file"
        ) from None
    try:
        terminal = Terminal(descriptor)
        with terminal.silent(), signals.keep(terminal):
            os.write(descriptor, b"Password: ")
            try:
                line = await _line(descriptor)
            finally:
                os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)
    password = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
    if not password:
        raise Refused("no password was given")
    return password


async def _line(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
        # the terminal hands out whole lines
        return os.read(descriptor, LONGEST_LINE)
    finally:
        loop.remove_reader(descriptor)
