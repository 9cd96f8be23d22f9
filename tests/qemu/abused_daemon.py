"""A daemon among clients that abuse it: who they are, what is logged of them, and what they cost.

Memory is bounded by what may wait: for a session 64 KiB in its transport, 64 KiB of answers and 200 ms of
sound (75 KiB in the largest form); on a stream 256 KiB, in a buffer of up to twice that. See
`transport.connection`, `vnc.audio` and `vnc.streams`.
"""

import asyncio
import contextlib
import os
import re
import socket

from support import rfb_wire
from support.daemon import Daemon
from support.processes import open_descriptors, resident_bytes
from support.waiting import DEADLINE, eventually

SESSION = 256 << 10
"""Bytes that wait for one session: in its transport, as answers, and of its sound."""
STREAM = 512 << 10
"""Bytes that wait on one stream, in a buffer that has just grown."""


class Crowd(contextlib.ExitStack):
    """Clients that are through their handshake, say something, as far as it is taken, and never read."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self._address = daemon.address

    def join(self, encodings: tuple[int, ...], data: bytes) -> socket.socket:
        """One more."""
        client = self.enter_context(socket.socket())
        # before it connects, or else the system takes megabytes for it
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(DEADLINE)
        client.connect(self._address)
        client.sendall(b"RFB 003.008\n\x01\x01" + rfb_wire.set_encodings(encodings))
        client.setblocking(False)
        say(client, data)
        return client


def say(client: socket.socket, data: bytes) -> None:
    """Sends as much as is taken at once."""
    rest = memoryview(data)
    with contextlib.suppress(BlockingIOError, ConnectionError):
        while rest:
            rest = rest[client.send(rest[: 1 << 16]) :]


def lines_of(daemon: Daemon, port: int) -> list[str]:
    """What is logged of the client on that port of its own, but for its coming and going."""
    output = daemon.process.output
    found = re.search(rf"session initialized (session=\w+) .*address=127\.0\.0\.1:{port} ", output)
    lines = [line for line in output.splitlines() if found and f"{found[1]} " in line]
    return [line for line in lines if not re.search("session (initialized|disconnected)", line)]


async def faulted(daemon: Daemon, port: int, cause: str) -> None:
    """The session of the client on that port of its own has ended, for that cause, and one line says so."""
    (line,) = await eventually(lambda: lines_of(daemon, port), f"it is logged that the client is {cause}")
    assert " connection ended by a fault of the client session=" in line
    assert f" cause={cause} " in line


class Watch:
    """How much memory the daemon has had at most, beyond what it had at the beginning."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._before = resident_bytes(daemon.pid)
        self.most = 0

    async def answers(self) -> None:
        """The daemon answers on its admin socket; looks at its memory too."""
        async with asyncio.timeout(DEADLINE):
            await asyncio.to_thread(self._daemon.status)
        self.look()

    def look(self) -> None:
        self.most = max(self.most, resident_bytes(self._daemon.pid) - self._before)


def resources(daemon: Daemon) -> tuple[int, int]:
    """Its descriptors and its threads."""
    return open_descriptors(daemon.pid), len(os.listdir(f"/proc/{daemon.pid}/task"))


async def nothing_is_left(daemon: Daemon, before: tuple[int, int]) -> None:
    """What it had before is all that it has, but for threads that encode pictures: these come when needed."""
    descriptors, threads = before[0], before[1] + (os.cpu_count() or 1)
    await eventually(lambda: resources(daemon)[0] <= descriptors, "every connection is closed")
    await eventually(lambda: resources(daemon)[1] <= threads, "every thread has ended")
    assert not re.search(" (error|critical) ", daemon.process.output), daemon.process.output
