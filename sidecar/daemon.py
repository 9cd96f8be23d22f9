"""The parts put together: a guest, the frontends, the admin socket; and how all of it ends."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any

from sidecar.access.certificate import server_context
from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.broadcast.broadcast import Broadcasts
from sidecar.config.address import ListenAddress, TcpAddress, UnixAddress
from sidecar.config.options import DaemonOptions, ServeOptions
from sidecar.config.password import read_password
from sidecar.config.run_directory import ADMIN_SOCKET, SELF_SIGNED, prepare_run_directory
from sidecar.control.admin import AdminServer
from sidecar.control.admin_commands import CommandTable, session_commands
from sidecar.encode.store import SegmentStore
from sidecar.errors import UsageError
from sidecar.guest import Guest
from sidecar.input.layout import Layout
from sidecar.input.seat import Seats
from sidecar.log import get_logger
from sidecar.problems import Problems
from sidecar.qemu.attach import Attach, BusAttach, FdAttach, QmpAttach
from sidecar.qemu.guest import QemuGuest, Use
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
    options: DaemonOptions, guest: Guest, problems: Problems | None = None
) -> AsyncIterator[Daemon]:
    """Serves `guest` as `options` say while it is entered, and tells of `problems` in its status.

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
    logins = Logins(_passwords(options))
    addresses: list[str] = []
    with (
        Tunnels(options, guest).open() as tunnels,
        ThreadPoolExecutor(ENCODERS, "encoder") as pool,
        _usb_slots(options, guest) as usb,
    ):
        guest = tunnels.guest
        seats = Seats(guest)
        feed = StatusFeed(registry, guest, problems=problems, usb=usb)
        broadcasts = Broadcasts(SegmentStore(pool))

        def vnc_server(console: str | None = None) -> VncServer:
            return VncServer(
                guest,
                registry,
                broadcasts,
                seats,
                layout=Layout(options.keyboard_layout),
                access=Access(logins, options.tls_dir),
                name=options.name,
                auth_timeout=options.auth_timeout,
                allow_power=options.allow_power,
                console=None if console is None else lambda _: tunnels.console(console),
                tunnels=tunnels.vnc,
                offered=tunnels.offered,
            )

        vnc = vnc_server()
        admin = AdminServer(options.run_dir / ADMIN_SOCKET, CommandTable(*session_commands(feed)))
        try:
            async with (
                admin,
                _metrics(options, feed) as metrics_address,
                _api(options, feed, usb, logins) as api_addresses,
                vnc,
                AsyncExitStack() as others,
            ):
                for address in options.vnc:
                    addresses.append(f"vnc {await _listen(vnc, address)}")
                for wanted in options.vnc_console:
                    server = await others.enter_async_context(vnc_server(wanted.console))
                    where = await _listen(server, wanted.address)
                    addresses.append(f"vnc-console {wanted.console}={where}")
                async with (
                    _rdp(options, tunnels, registry, broadcasts, seats, logins=logins) as rdp_addresses,
                    _web(options, vnc) as web_address,
                ):
                    addresses += rdp_addresses + web_address + metrics_address + api_addresses
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
            frontends(options, guest),
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
    raise UsageError("say where the machine is: --dbus-address ADDRESS, --qmp SOCKET or --p2p-fd FD")


def _passwords(options: DaemonOptions) -> Passwords:
    password_file = options.password_file
    if password_file is None:
        return Passwords()
    # one that cannot be read is told now; later ones are logged, and nobody gets in
    read_password(password_file)
    return Passwords(lambda: read_password(password_file))


async def _listen(server: "Server[Any] | ApiServer", address: ListenAddress) -> str:
    """Has `server` listen; the address as it became."""
    if isinstance(address, UnixAddress):
        await server.listen_unix(address.path)
        return str(address)
    return str(TcpAddress(address.host, await server.listen_tcp(address.host, address.port)))


@asynccontextmanager
async def _rdp(
    options: DaemonOptions,
    tunnels: Tunnels,
    registry: Registry,
    broadcasts: Broadcasts,
    seats: Seats,
    *,
    logins: Logins,
) -> AsyncIterator[list[str]]:
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
    async with server:
        yield [f"rdp {await _listen(server, address)}" for address in options.rdp]


@contextmanager
def _usb_slots(options: DaemonOptions, guest: Guest) -> Iterator["UsbSlots | None"]:
    """The slots for USB devices, if there is an API to reach them by; loaded only then."""
    if not options.api:
        yield None
        return
    from sidecar.usb.slots import UsbSlots

    with closing(UsbSlots(guest)) as slots:
        yield slots


@asynccontextmanager
async def _api(
    options: DaemonOptions, feed: StatusFeed, usb: "UsbSlots | None", logins: Logins
) -> AsyncIterator[list[str]]:
    """The management API, if it is wanted; aiohttp is loaded only then."""
    if usb is None:
        yield []
        return
    from sidecar.control.api import ApiServer
    from sidecar.control.api_access import ApiAccess
    from sidecar.control.api_events import event_operations
    from sidecar.control.api_overview import with_overview
    from sidecar.control.api_sessions import session_operations
    from sidecar.control.api_settings import settings_operations
    from sidecar.control.api_status import status_operations
    from sidecar.control.api_usb import usb_operations
    from sidecar.control.roles import RolesFile
    from sidecar.control.session_events import SessionEvents
    from sidecar.control.settings import Settings
    from sidecar.web.tls import TlsFiles
    from sidecar.web.upgrade import OriginPolicy

    tls = None if options.tls_dir is None else TlsFiles(options.tls_dir, options.api_client_ca)
    access = ApiAccess(
        logins,
        roles=RolesFile(options.api_roles),
        takes_certificates=options.api_client_ca is not None,
        origins=OriginPolicy(options.web_origin),
    )
    settings = Settings(feed.registry, screenshots=options.screenshots, log_level=options.log_level)
    with closing(SessionEvents(feed.registry)) as events:
        operations = with_overview(
            [
                *status_operations(feed),
                *session_operations(feed.registry),
                *event_operations(events),
                *settings_operations(settings),
                *usb_operations(usb),
            ]
        )
        context = None if tls is None else tls.context
        server = ApiServer(operations, access, ssl=context, closing=[events.close])
        async with server:
            yield [f"api {await _listen(server, address)}" for address in options.api]


@asynccontextmanager
async def _metrics(options: DaemonOptions, feed: StatusFeed) -> AsyncIterator[list[str]]:
    """Metrics, if they are wanted; loaded only then."""
    if options.metrics is None:
        yield []
        return
    from sidecar.report.metrics import Metrics
    from sidecar.report.metrics_server import MetricsServer

    with closing(Metrics(feed.registry, feed.guest, feed.problems)) as metrics:
        async with MetricsServer(metrics, options.metrics.host, options.metrics.port) as server:
            yield [f"metrics http://{TcpAddress(options.metrics.host, server.port)}/metrics"]


@asynccontextmanager
async def _web(options: DaemonOptions, vnc: VncServer) -> AsyncIterator[list[str]]:
    """WebSocket, if it is wanted; aiohttp is loaded only then."""
    if options.web is None:
        yield []
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
        scheme = "ws" if context is None else "wss"
        yield [f"{scheme}://{TcpAddress(options.web.host, server.ports[0])}/websockify"]
    finally:
        await server.close()
