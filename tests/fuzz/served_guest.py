"""A VncServer with a synthetic guest behind it, watched for what must never happen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.rfb_client import AsyncRfbClient
from support.synthetic_guest import SyntheticGuest

from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.session.registry import Policy, Registry
from sidecar.vnc.server import VncServer


class ServedGuest:
    """What is served, on the loopback port `port`; `faults`: what reached the loop's exception handler."""

    def __init__(self, server: VncServer, guest: SyntheticGuest, port: int) -> None:
        self.server = server
        self.registry = server.registry
        self.guest = guest
        self.console = guest.console
        self.port = port
        self.faults: list[dict[str, Any]] = []

    def connect(self, **options: Any) -> Any:
        """A client that is through its handshake, to be awaited."""
        return AsyncRfbClient.connect(("127.0.0.1", self.port), **options)

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which nothing was said yet."""
        return await asyncio.open_connection("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def served(
    policy: Policy | None = None, guest: SyntheticGuest | None = None, **options: Any
) -> AsyncIterator[ServedGuest]:
    """Serves a guest; at the end nobody is counted, nothing is left over and nothing went wrong."""
    loop = asyncio.get_running_loop()
    guest = guest or SyntheticGuest()
    server_options = {"layout": Layout("us"), **options}
    with ThreadPoolExecutor(2) as pool:
        broadcasts = Broadcasts(SegmentStore(pool))
        server = VncServer(guest, Registry(policy), broadcasts, Seats(guest), **server_options)
        before = asyncio.all_tasks()
        async with asyncio.timeout(60):
            async with server:
                here = ServedGuest(server, guest, await server.listen_tcp("127.0.0.1", 0))
                loop.set_exception_handler(lambda _, context: here.faults.append(context))
                yield here
            broadcasts.close()
            # what was cancelled gets its turn
            await until(lambda: not asyncio.all_tasks() - before)
    assert here.faults == []
    assert here.registry.count() == 0
    assert here.registry.waiting == 0
    assert not server.viewers
    assert len(guest.console.changes) == 0
    assert len(here.registry.changes) == 0


async def until(condition: Callable[[], Any], what: str = "what must come about") -> None:
    try:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not in time: {what}") from None


async def until_closed(reader: asyncio.StreamReader) -> None:
    """Takes what comes until the server has closed the connection."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            while await reader.read(1 << 16):
                pass
