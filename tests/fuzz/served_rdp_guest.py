"""An RdpServer with a synthetic guest behind it, watched for what must never happen."""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from served_guest import until
from support import rdp_server_pdus as server_pdus
from support.certificate import write_certificate
from support.rdp_rough_client import RoughClient
from support.rdp_script import Profile
from support.synthetic_guest import SyntheticGuest

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.log import LineFormatter
from sidecar.rdp.access import Access
from sidecar.rdp.server import RdpServer
from sidecar.session.registry import Policy, Registry


@cache
def _certificate() -> tuple[TemporaryDirectory[str], Path]:
    directory = TemporaryDirectory()
    write_certificate(Path(directory.name))
    return directory, Path(directory.name)


def tls_directory() -> Path:
    """A certificate for all tests of one run."""
    return _certificate()[1]


class Lines(logging.Handler):
    """What is logged, line by line, as an administrator reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))

    def with_words(self, *words: str) -> list[str]:
        """The lines that have all of these in them."""
        return [line for line in self.seen if all(word in line for word in words)]


@contextlib.contextmanager
def logged() -> Iterator[Lines]:
    """Everything that the product logs meanwhile."""
    lines, logger = Lines(), logging.getLogger("sidecar")
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        logger.setLevel(level)
        logger.removeHandler(lines)


class ServedRdpGuest:
    """What is served, on the loopback port `port`; `faults`: what reached the loop's exception handler."""

    def __init__(self, server: RdpServer, guest: SyntheticGuest, port: int) -> None:
        self.server = server
        self.registry = server.registry
        self.guest = guest
        self.console = guest.console
        self.port = port
        self.faults: list[dict[str, Any]] = []
        self.log: Lines
        self.peers: list[RoughClient] = []
        """All that were connected: what is left of them vanishes with the server."""

    async def dial(self, profile: Profile | None = None) -> RoughClient:
        """A connection on which nothing was said yet."""
        peer = await RoughClient.open("127.0.0.1", self.port, profile)
        self.peers.append(peer)
        return peer

    async def connect(self, profile: Profile | None = None) -> RoughClient:
        """A client that is active."""
        peer = await self.dial(profile)
        try:
            return await peer.until_step("")
        except BaseException:
            await peer.close()
            raise

    async def serves(self, witness: RoughClient) -> None:
        """Makes sure that a client that did nothing wrong is shown what the guest draws now."""
        frames = len(witness.heard(server_pdus.FastPathUpdate))
        self.console.draw(0, 0, np.random.default_rng(frames).integers(0, 1 << 24, (8, 8)).astype(np.uint32))
        async with asyncio.timeout(30):
            while len(witness.heard(server_pdus.FastPathUpdate)) == frames:
                await witness.hear()

    def lines_of(self, peer: RoughClient) -> list[str]:
        """What is logged of a client, but for its coming."""
        *_, connected = self.log.with_words("session connected", f"address=127.0.0.1:{peer.port}")
        session = re.search(r"session=(\w+)", connected)
        assert session is not None
        return [
            line
            for line in self.log.with_words(f"{session[0]} ")
            if "session connected" not in line and "session initialized" not in line
        ]

    async def ends(self, peer: RoughClient) -> list[str]:
        """Waits until the server has hung up; what an administrator reads of it, but for its duration."""
        await peer.ended()
        await peer.close()
        await until(lambda: "session disconnected" in "".join(self.lines_of(peer)), "it is not counted")
        return [
            line
            for line in self.lines_of(peer)
            if "session disconnected" not in line and " debug " not in line
        ]

    async def faulted(self, peer: RoughClient) -> str:
        """Waits until the server has hung up for a fault of the client; the one line that says so."""
        (line,) = await self.ends(peer)
        assert re.search(r"info    connection ended by a fault of the client session=r\d+ cause=", line), line
        return line

    @property
    def unsent(self) -> int:
        """Bytes that wait in the transports of all clients."""
        return sum(viewer._transport.get_write_buffer_size() for viewer in self.server.viewers)


@contextlib.asynccontextmanager
async def served_rdp(
    policy: Policy | None = None,
    guest: SyntheticGuest | None = None,
    access: Access | None = None,
    **options: Any,
) -> AsyncIterator[ServedRdpGuest]:
    """Serves a guest; at the end nobody is counted, nothing is left over and nothing went wrong."""
    loop = asyncio.get_running_loop()
    guest = guest or SyntheticGuest()
    server_options = {"layout": Layout("us"), "access": access or Access(tls_directory()), **options}
    with ThreadPoolExecutor(2) as pool, logged() as lines:
        broadcasts = Broadcasts(SegmentStore(pool))
        server = RdpServer(guest, Registry(policy), broadcasts, Seats(guest), **server_options)
        before = asyncio.all_tasks()
        async with asyncio.timeout(60):
            async with server:
                here = ServedRdpGuest(server, guest, await server.listen_tcp("127.0.0.1", 0))
                # with the listener, and with what uvloop opens at its first one and keeps
                descriptors = len(os.listdir("/proc/self/fd"))
                here.log = lines
                loop.set_exception_handler(lambda _, context: here.faults.append(context))
                yield here
            broadcasts.close()
            for peer in here.peers:
                peer.abort()
            # what was cancelled gets its turn
            await until(lambda: not asyncio.all_tasks() - before)
            await until(lambda: len(os.listdir("/proc/self/fd")) < descriptors, "every socket is closed")
    assert here.faults == []
    assert here.registry.count() == 0
    assert here.registry.waiting == 0
    assert not server.viewers
    assert len(guest.console.changes) == 0
    assert len(here.registry.changes) == 0
    assert not guest.console.keyboard.held
    assert not guest.console.pointer.held
