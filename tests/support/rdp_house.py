"""An RDP server with a synthetic guest behind it, listening on a loopback port."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
from support.certificate import write_certificate
from support.film import FilmTime
from support.rdp_script import Profile
from support.rdp_viewer import GRAPHICS_PROFILE, RdpViewer
from support.rfb_client import AsyncRfbClient
from support.synthetic_guest import SyntheticConsole, SyntheticGuest

from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.broadcast.broadcast import Broadcasts
from sidecar.encode.store import SegmentStore
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.rdp.access import Access
from sidecar.rdp.handshake import Nla
from sidecar.rdp.server import RdpServer
from sidecar.session.registry import Policy, Registry
from sidecar.vnc.server import VncServer


class RdpHouse:
    """What is served. Clients that `viewer` has made hang up at the end."""

    def __init__(
        self,
        guest: SyntheticGuest,
        registry: Registry,
        store: SegmentStore,
        server: RdpServer,
        port: int,
        film: FilmTime,
    ) -> None:
        self.guest = guest
        self.console = guest.console
        self.registry = registry
        self.store = store
        self.server = server
        self.port = port
        self.film = film
        """The time by which it is judged what moves."""
        self.vnc_port = 0
        self.clients = contextlib.AsyncExitStack()

    async def viewer(
        self,
        profile: Profile = GRAPHICS_PROFILE,
        kind: type[RdpViewer] = RdpViewer,
        prepare: Callable[[RdpViewer], None] | None = None,
    ) -> RdpViewer:
        """A client that is active. `prepare` is called before it says anything."""
        client = await kind.open("127.0.0.1", self.port, profile)
        self.clients.push_async_callback(client.close)
        if prepare is not None:
            prepare(client)
        await client.negotiate()
        await client.log_in()
        await client.activate()
        return client

    async def stranger(self, profile: Profile = GRAPHICS_PROFILE) -> RdpViewer:
        """A client that has not said anything yet."""
        client = await RdpViewer.open("127.0.0.1", self.port, profile)
        self.clients.push_async_callback(client.close)
        return client

    async def vnc(self, **options: Any) -> Any:
        """A VNC client of the same guest."""
        return await self.clients.enter_async_context(
            await AsyncRfbClient.connect(("127.0.0.1", self.vnc_port), **options)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.clients.aclose()


@contextlib.asynccontextmanager
async def house(
    policy: Policy | None = None,
    *,
    sizes: Sequence[tuple[int, int]] = ((320, 200),),
    password: Callable[[], str] | None = None,
    nla: Nla = Nla.OFF,
    logins: Logins | None = None,
    **options: Any,
) -> AsyncIterator[RdpHouse]:
    """Serves a guest with consoles of these sizes over RDP and VNC.

    At the end nobody is counted and no task, file, timer or subscription is left.
    """
    loop = asyncio.get_running_loop()
    consoles = {number: SyntheticConsole(number, *size) for number, size in enumerate(sizes)}
    for console in consoles.values():
        console.draw(0, 0, picture(77 + console.index, *console.surface.frame.pixels.shape))
    guest = SyntheticGuest(consoles[0])
    guest.consoles = consoles
    registry = Registry(policy)
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    tasks, files = asyncio.all_tasks(), open_files()
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(2) as pool:
        tls = Path(directory) / "tls"
        write_certificate(tls)
        store = SegmentStore(pool)
        access = Access(tls, logins or Logins(Passwords(password)), nla)
        film = FilmTime()
        layout, seats, broadcasts = Layout("us"), Seats(guest), Broadcasts(store, clock=film)
        server = RdpServer(guest, registry, broadcasts, seats, access=access, layout=layout, **options)
        vnc = VncServer(guest, registry, broadcasts, seats, layout=layout)
        async with server, vnc:
            port = await server.listen_tcp("127.0.0.1", 0)
            here = RdpHouse(guest, registry, store, server, port, film)
            here.vnc_port = await vnc.listen_tcp("127.0.0.1", 0)
            async with here:
                yield here
        broadcasts.close()
        seats.close()
    await until(lambda: not asyncio.all_tasks() - tasks)
    await until(lambda: open_files() <= files)
    assert faults == []
    assert registry.count() == 0
    assert registry.waiting == 0
    assert len(registry.changes) == 0
    assert not server.viewers
    assert not any(len(console.changes) for console in consoles.values())
    assert not any(console.keyboard.held or console.pointer.held for console in consoles.values())


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def until(condition: Callable[[], Any]) -> None:
    """Waits until `condition` holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def picture(seed: int, height: int = 200, width: int = 320) -> np.ndarray:
    """Text-like, photo-like and flat parts."""
    random = np.random.default_rng(seed)
    pixels = np.full((height, width), 0x204060 + seed, np.uint32)
    pixels[: height // 2] = random.choice(np.array([0, 0xFFFFFF], np.uint32), (height // 2, width))
    part = (height - height // 2, width // 3)
    pixels[height // 2 :, : width // 3] = random.integers(0, 1 << 24, part)
    return pixels
