"""The parts put together: a guest, the frontends, the admin socket; and how all of it ends."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sidecar.access.certificate import server_context
from sidecar.access.logins import Logins
from sidecar.broadcast.broadcast import Broadcasts
from sidecar.config.address import ListenAddress, TcpAddress, UnixAddress
from sidecar.config.options import DaemonOptions, ServeOptions
from sidecar.config.run_directory import SELF_SIGNED, prepare_run_directory
from sidecar.control.listener import Listener
from sidecar.encode.store import SegmentStore
from sidecar.entrance import Entrance, entrance
from sidecar.errors import UsageError
from sidecar.guest import Guest
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.log import get_logger
from sidecar.machine import Machine
from sidecar.management import Management, usb_slots
from sidecar.problems import Problems
from sidecar.qemu.attach import Attach, BusAttach, FdAttach, QmpAttach
from sidecar.qemu.guest import QemuGuest, Use
from sidecar.qemu.listener import FIGURES
from sidecar.session.feed import StatusFeed
from sidecar.session.registry import Policy, Registry, SharePolicy
from sidecar.transport.server import Server
from sidecar.tunnels import Tunnels
from sidecar.vnc.access import Access
from sidecar.vnc.server import VncServer

if TYPE_CHECKING:
    from sidecar.control.api import ApiServer
    from sidecar.usb.slots import UsbSlots

log = get_logger(__name__)

ENCODERS = 2
"""Threads that encode: the reference machine has two cores."""

SWITCH_INTERVAL = 0.001
"""Seconds after which a thread gives way: the listener's thread must not wait long behind the main loop."""


WEBSOCKET_PATH = "/websockify"
"""Where noVNC looks for it."""

TlsUse: TypeAlias = Literal["always", "within", "never"]


class Daemon:
    """What runs while `frontends` is entered."""

    def __init__(self, registry: Registry, feed: StatusFeed, vnc: VncServer, addresses: list[str]) -> None:
        self.registry = registry
        self.feed = feed
        self.vnc = vnc
        self.addresses = addresses
        """Where it listens: `vnc`, `rdp` or `metrics` and an address, or a WebSocket URL."""


@asynccontextmanager
async def frontends(
    options: DaemonOptions,
    guest: Guest,
    problems: Problems | None = None,
    *,
    machine: Machine | None = None,
    why_no_machine: str = "",
) -> AsyncIterator[Daemon]:
    """Serves `guest` as `options` say while it is entered, and tells of `problems` in its status.

    `machine`: who is asked about it and controls it; None: nobody, for the reason `why_no_machine`.
    Raises SidecarError when it cannot.
    """
    prepare_run_directory(options.run_dir)
    sys.setswitchinterval(SWITCH_INTERVAL)
    if options.tls_dir is not None:
        # a certificate that cannot be used is told now, not to the first viewer
        server_context(options.tls_dir)
    registry = Registry(
        Policy(
            share=SharePolicy(options.share),
            max_sessions=options.max_sessions,
            max_waiting=max(Policy.max_waiting, options.max_sessions),
            view_only=options.view_only,
        )
    )
    door = entrance(options)
    addresses: list[str] = []
    listeners: list[Listener] = []
    with (
        Tunnels(options, guest).open() as tunnels,
        ThreadPoolExecutor(ENCODERS, "encoder") as pool,
        usb_slots(options, guest) as usb,
    ):
        guest = tunnels.guest
        seats = Seats(guest)
        feed = StatusFeed(registry, guest, problems=problems, usb=usb)
        store = SegmentStore(pool)
        broadcasts = Broadcasts(store)
        management = Management(
            options,
            feed,
            door,
            machine=machine,
            why_no_machine=why_no_machine,
            listeners=listeners,
            usb=usb,
        )

        servers: list[Server[Any]] = []

        def vnc_server(console: str | None = None) -> VncServer:
            server = VncServer(
                guest,
                registry,
                broadcasts,
                seats,
                layout=Layout(options.keyboard_layout),
                access=Access(door.logins, options.tls_dir),
                name=options.name,
                auth_timeout=options.auth_timeout,
                allow_power=options.allow_power,
                power=management.power,
                console=None if console is None else lambda _: tunnels.console(console),
                tunnels=tunnels.vnc,
                offered=tunnels.offered,
            )
            servers.append(server)
            return server

        vnc = vnc_server()
        try:
            async with (
                management.open() as api,
                _metrics(
                    options, feed, store=store, door=door, usb=usb, servers=servers, api=api
                ) as metrics_address,
                vnc,
                AsyncExitStack() as others,
            ):
                api_addresses = [] if api is None else [await _listen(api, each) for each in options.api]
                vnc_tls: TlsUse = "never" if options.tls_dir is None else "within"
                for address in options.vnc:
                    at = await _listen(vnc, address)
                    listeners.append(_listener("vnc", at, vnc_tls))
                    addresses.append(f"vnc {at}")
                for wanted in options.vnc_console:
                    server = await others.enter_async_context(vnc_server(wanted.console))
                    at = await _listen(server, wanted.address)
                    listeners.append(_listener("vnc", at, vnc_tls, console=wanted.console))
                    addresses.append(f"vnc-console {wanted.console}={at}")
                async with (
                    _rdp(
                        options, tunnels, registry, broadcasts, seats, logins=door.logins, servers=servers
                    ) as rdp_addresses,
                    _web(options, vnc) as web_address,
                ):
                    for at in rdp_addresses:
                        # it begins in the clear, and goes on within TLS before anybody logs in
                        listeners.append(_listener("rdp", at, "within"))
                        addresses.append(f"rdp {at}")
                    if web_address is not None:
                        scheme = "ws" if options.tls_dir is None else "wss"
                        web_tls: TlsUse = "never" if options.tls_dir is None else "always"
                        listeners.append(_listener("websocket", web_address, web_tls, path=WEBSOCKET_PATH))
                        addresses.append(f"{scheme}://{web_address}{WEBSOCKET_PATH}")
                    addresses += metrics_address
                    addresses += [f"api {each}" for each in api_addresses]
                    for where in addresses:
                        log.info("listening", address=where)
                    # what start-up has left behind is not worth looking through again and again
                    gc.collect()
                    gc.freeze()
                    yield Daemon(registry, feed, vnc, addresses)
                    registry.close()
        finally:
            broadcasts.close()
            feed.close()
            seats.close()


@asynccontextmanager
async def attached(
    attach: Attach, options: DaemonOptions
) -> AsyncIterator[tuple[QemuGuest, "asyncio.Task[None]"]]:
    """A guest that is attached again whenever it comes back, as `options` say, and the task that does it.

    The task ends by itself only when the machine cannot come back. What makes it fail ends the block too,
    as one of an ExceptionGroup.
    """
    use = Use(
        sound=options.sound,
        clipboard=options.clipboard != "off",
        copied_texts=options.clipboard != "to-guest",
    )
    guest = QemuGuest(attach, options.touch_screen, use)
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(guest.run())
        try:
            yield guest, work
        finally:
            work.cancel()


async def serve(options: ServeOptions) -> None:
    """`vdi-sidecar serve`: attaches, serves, and ends on SIGINT or SIGTERM."""
    # a signal that comes while all this starts leaves nothing behind either
    with ending_signals() as ended:
        async with (
            attached(_attach(options), options) as (guest, work),
            frontends(options, guest, machine=_machine(options, guest)),
        ):
            work.add_done_callback(lambda _: ended.set())
            await ended.wait()
            log.info("ending")


@contextmanager
def ending_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set while it is entered."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _attach(options: ServeOptions) -> Attach:
    if options.qmp is not None:
        return QmpAttach(options.qmp)
    if options.dbus_address is not None:
        return BusAttach(options.dbus_address, options.bus_name)
    if options.p2p_fd is not None:
        return FdAttach(options.p2p_fd)
    if options.libvirt is not None and options.domain is not None:
        from sidecar.libvirt_domain.attach import LibvirtAttach

        return LibvirtAttach(options.libvirt, options.domain)
    raise UsageError(
        "say where the machine is: --dbus-address ADDRESS, --qmp SOCKET, --libvirt URI --domain NAME or "
        "--p2p-fd FD"
    )


def _machine(options: ServeOptions, guest: QemuGuest) -> Machine | None:
    """Who is asked about the machine and controls it; loaded only where there is somebody."""
    if options.libvirt is not None and options.domain is not None:
        from sidecar.libvirt_domain.machine import LibvirtMachine

        return LibvirtMachine(options.libvirt, options.domain)
    if options.qmp is None and options.control_qmp is None:
        return None
    from sidecar.qemu.machine import QmpMachine
    from sidecar.qemu.machine_monitor import AttachedMonitor, SocketMonitor

    if options.control_qmp is not None:
        return QmpMachine(SocketMonitor(options.control_qmp))
    return QmpMachine(AttachedMonitor(lambda: guest.monitor))


async def _listen(server: "Server[Any] | ApiServer", address: ListenAddress) -> ListenAddress:
    """Has `server` listen; the address as it became."""
    if isinstance(address, UnixAddress):
        await server.listen_unix(address.path)
        return address
    return TcpAddress(address.host, await server.listen_tcp(address.host, address.port))


def _listener(
    protocol: Literal["vnc", "rdp", "websocket"],
    address: ListenAddress,
    tls: TlsUse,
    *,
    console: str = "",
    path: str = "",
) -> Listener:
    if isinstance(address, UnixAddress):
        return Listener(protocol, path=str(address.path), tls=tls, console=console)
    return Listener(protocol, address.host, address.port, path, tls, console)


@asynccontextmanager
async def _rdp(
    options: DaemonOptions,
    tunnels: Tunnels,
    registry: Registry,
    broadcasts: Broadcasts,
    seats: Seats,
    *,
    logins: Logins,
    servers: list[Server[Any]],
) -> AsyncIterator[list[ListenAddress]]:
    """RDP, if it is wanted; loaded only then."""
    if not options.rdp:
        yield []
        return
    from sidecar.access.certificate import self_signed
    from sidecar.rdp.access import Access as RdpAccess
    from sidecar.rdp.credssp import nla_available
    from sidecar.rdp.handshake import Nla
    from sidecar.rdp.server import RdpServer

    nla = {"negotiate": Nla.OFFERED, "nla": Nla.REQUIRED, "tls": Nla.OFF}[options.rdp_security]
    if not nla_available():
        if nla is Nla.REQUIRED:
            raise UsageError("--rdp-security nla needs the library pyspnego: pip install 'vdi-sidecar[nla]'")
        nla = Nla.OFF
    directory = options.tls_dir
    if directory is None:
        directory = options.run_dir / SELF_SIGNED
        await asyncio.to_thread(self_signed, directory)
    server = RdpServer(
        tunnels.guest,
        registry,
        broadcasts,
        seats,
        access=RdpAccess(directory, logins, nla if logins.asked else Nla.OFF),
        layout=Layout(options.keyboard_layout),
        channels=tunnels.rdp(),
        auth_timeout=options.auth_timeout,
    )
    servers.append(server)
    async with server:
        yield [await _listen(server, address) for address in options.rdp]


@asynccontextmanager
async def _metrics(
    options: DaemonOptions,
    feed: StatusFeed,
    *,
    store: SegmentStore,
    door: Entrance,
    usb: "UsbSlots | None",
    servers: list[Server[Any]],
    api: "ApiServer | None",
) -> AsyncIterator[list[str]]:
    """Metrics, if they are wanted; loaded only then. `servers`: all of them, in the end."""
    if options.metrics is None:
        yield []
        return
    from sidecar.report.metrics import Metrics
    from sidecar.report.metrics_server import MetricsServer
    from sidecar.report.metrics_sources import Sources

    tickets = door.tickets
    sources = Sources(
        pictures=store,
        listeners=FIGURES,
        unsent=lambda: (
            (each.session_protocol, each.unsent) for server in servers for each in server.viewers
        ),
        failed_logins=door.logins.failures,
        tickets=None if tickets is None else lambda: sum(not each.is_used_up for each in tickets.live()),
        usb_devices=None if usb is None else lambda: len(usb.devices()),
        usb_traffic=None if usb is None else lambda: (usb.traffic.to_guest, usb.traffic.from_guest),
        api_requests=None if api is None else lambda: api.answers,
    )
    with closing(Metrics(feed.registry, feed.guest, feed.problems, sources)) as metrics:
        async with MetricsServer(metrics, options.metrics.host, options.metrics.port) as server:
            yield [f"metrics http://{TcpAddress(options.metrics.host, server.port)}/metrics"]


@asynccontextmanager
async def _web(options: DaemonOptions, vnc: VncServer) -> AsyncIterator[TcpAddress | None]:
    """WebSocket, if it is wanted; aiohttp is loaded only then."""
    if options.web is None:
        yield None
        return
    from sidecar.web.server import start_web
    from sidecar.web.upgrade import OriginPolicy

    context = None if options.tls_dir is None else server_context(options.tls_dir)
    # a page that does not know the password can do no harm, wherever it comes from
    origins = OriginPolicy(("*",) if options.auth != "none" else options.web_origin)
    server = await start_web(
        [(options.web.host, options.web.port)],
        lambda: vnc.protocol("websocket"),
        ssl=context,
        origins=origins,
    )
    try:
        yield TcpAddress(options.web.host, server.ports[0])
    finally:
        await server.close()
