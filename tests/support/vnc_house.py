"""A VNC server with a synthetic guest of several screens behind it, listening on a loopback port."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from support.rfb_client import AsyncRfbClient
from support.synthetic_guest import SyntheticConsole, SyntheticGuest

from sidecar.access.logins import Logins
from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.guest import GuestState
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.session.registry import Policy, Registry
from sidecar.session.session import Session, Transport
from sidecar.vnc.access import Access
from sidecar.vnc.server import VncServer


class VncHouse:
    """What is served: the consoles `head0`, `head1`, ... of `guest`."""

    def __init__(self, guest: SyntheticGuest, registry: Registry, server: VncServer, port: int) -> None:
        self.guest = guest
        self.consoles = list(guest.consoles.values())
        self.registry = registry
        self.server = server
        self.port = port

    def connect(self, **options: Any) -> Any:
        """A client, once it is entered."""
        return AsyncRfbClient.connect(("127.0.0.1", self.port), **options)

    async def listen_as(self, kind: Transport) -> int:
        """Listens on another port for what is to be taken for connections of that kind."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: self.server.protocol(kind), "127.0.0.1", 0)
        self.server._listeners.append(listener)
        port: int = listener.sockets[0].getsockname()[1]
        return port

    @property
    def session(self) -> Session:
        """The only one."""
        (session,) = self.registry
        return session

    def machine_is(self, state: GuestState) -> None:
        """The machine has gone, or is there (again)."""
        self.guest.state = state
        self.guest.lifecycle.notify(state)


@contextlib.asynccontextmanager
async def vnc_house(
    logins: Logins | None = None,
    sizes: Sequence[tuple[int, int]] = ((320, 200),),
    policy: Policy | None = None,
    guest: SyntheticGuest | None = None,
    **options: Any,
) -> AsyncIterator[VncHouse]:
    """Serves `guest` with consoles of these sizes. At the end nobody is there any more."""
    consoles = [SyntheticConsole(index, *size) for index, size in enumerate(sizes)]
    for console in consoles:
        console.label = f"head{console.index}"
        frame = console.surface.frame
        random = np.random.default_rng(console.index)
        console.draw(0, 0, random.integers(0, 1 << 24, (frame.height, frame.width)).astype(np.uint32))
    guest = guest or SyntheticGuest()
    guest.console = consoles[0]
    guest.consoles = {console.index: console for console in consoles}
    registry = Registry(policy)
    access = Access(logins or Logins())
    with ThreadPoolExecutor(2) as pool, contextlib.closing(Broadcasts(SegmentStore(pool))) as broadcasts:
        seats = Seats(guest)
        async with VncServer(
            guest, registry, broadcasts, seats, layout=Layout("us"), access=access, **options
        ) as server:
            yield VncHouse(guest, registry, server, await server.listen_tcp("127.0.0.1", 0))
        seats.close()
    assert registry.count() == registry.waiting == 0
    assert not any(len(console.changes) for console in consoles)
    assert not any(console.keyboard.held or console.pointer.held for console in consoles)
