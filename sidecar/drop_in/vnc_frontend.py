"""The VNC server of `vdi-qemu-vnc`: the daemon's own, by QEMU's rules."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from sidecar.access.certificate import CertificateUnusable
from sidecar.access.logins import Logins
from sidecar.access.password import Passwords
from sidecar.access.throttle import Throttle
from sidecar.config.address import TcpAddress
from sidecar.drop_in.certificates import Certificates
from sidecar.drop_in.ending import Ending
from sidecar.drop_in.listening import listen_on, resolve
from sidecar.drop_in.machine import machine
from sidecar.drop_in.sharing import SharingRegistry
from sidecar.drop_in.vnc_management import Listener, VncManagement
from sidecar.drop_in.vnc_options import VncOptions
from sidecar.drop_in.vnc_secrets import VncSecrets
from sidecar.guest import GuestState
from sidecar.input.layout import Layout
from sidecar.log import get_logger
from sidecar.qemu.attach import Attach
from sidecar.session.session import Transport
from sidecar.vnc import messages
from sidecar.vnc.access import Access
from sidecar.vnc.capabilities import ClientCapabilities, Owed
from sidecar.vnc.events import Xvp
from sidecar.vnc.server import VncServer
from sidecar.vnc.tunnel import Line, TunnelFactory
from sidecar.vnc.wire import XvpCode

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedAccess(Access):
    """Shows the certificate that was last loaded, not that which is in the files now."""

    certificates: Certificates | None = None

    def tls_context(self) -> ssl.SSLContext:
        """As its base."""
        if self.certificates is None:
            raise CertificateUnusable("there is no TLS directory")
        return self.certificates.current.context


@asynccontextmanager
async def vnc_frontend(
    options: VncOptions,
    secrets: VncSecrets,
    attach: Attach,
    ending: Ending,
    management: VncManagement | None,
) -> AsyncIterator[None]:
    """Serves while it is entered, and tells `management` of it. Raises SidecarError when it cannot."""
    layout = Layout(options.keyboard_layout)
    registry = SharingRegistry(options.sharing)
    passwords = Passwords(secrets.password.read if options.asks_password else None)
    logins = Logins(passwords, throttle=Throttle(time.monotonic))
    access = LoadedAccess(logins, options.tls_directory, secrets.certificates)
    async with (
        machine(attach, ending, keyboard_layout=options.keyboard_layout, chardevs=options.chardevs) as there,
        AsyncExitStack() as stack,
    ):
        guest, tunnels = there.guest, there.tunnels
        carried = list(tunnels.vnc)
        if management is not None:
            carried.append(_power_requests(management))
            registry.events.subscribe(management.follow)

        def server(access: Access) -> VncServer:
            return VncServer(
                tunnels.guest,
                registry,
                there.broadcasts,
                there.seats,
                layout=layout,
                access=access,
                allow_power=management is not None,
                tunnels=carried,
                offered=tunnels.offered,
            )

        vnc = await stack.enter_async_context(server(access))
        trusting = await stack.enter_async_context(server(Access()))
        listeners = [] if options.vnc is None else await listen_on(vnc, options.vnc)
        if options.websocket is not None:
            context = secrets.certificates.following_context() if secrets.certificates else None
            # a page that does not know the password can do no harm, wherever it comes from
            origins = ("*",) if options.asks_password else ()
            listeners += await _serve_web(options.websocket, vnc, context, origins, stack)
        for each in listeners:
            log.info("listening", host=each.host, service=each.service, websocket=each.websocket)
        if management is not None:
            management.add_client = lambda sock, skips: _add(trusting if skips else vnc, sock)
            management.listens(listeners)
            _tell_name(guest.lifecycle.subscribe, lambda: guest.name, management)
        try:
            yield
        finally:
            if management is not None:
                management.add_client = None
            registry.close(ending.for_sessions)


def _tell_name(
    subscribe: Callable[[Callable[[GuestState], None]], Any],
    name: Callable[[], str],
    management: VncManagement,
) -> None:
    def changed(state: GuestState) -> None:
        if state is GuestState.ATTACHED:
            management.rename(name())

    subscribe(changed)


async def _serve_web(
    address: TcpAddress,
    vnc: VncServer,
    context: ssl.SSLContext | None,
    origins: tuple[str, ...],
    stack: AsyncExitStack,
) -> list[Listener]:
    from sidecar.web.server import CannotServeWeb, start_web
    from sidecar.web.upgrade import OriginPolicy

    listeners: list[Listener] = []
    failure: CannotServeWeb | None = None
    for host, family in await resolve(address):
        try:
            web = await start_web(
                [(host, address.port)],
                lambda: vnc.protocol("websocket"),
                ssl=context,
                origins=OriginPolicy(origins),
            )
        except CannotServeWeb as error:
            log.warning("not listening", cause=str(error))
            failure = error
            continue
        stack.push_async_callback(web.close)
        listeners.append(Listener(host, str(web.ports[0]), family, websocket=True))
    if failure is not None and not listeners:
        raise failure
    return listeners


def _add(server: VncServer, sock: socket.socket) -> None:
    """Takes a connection that somebody else has accepted."""
    sock.setblocking(False)
    kind: Transport = "unix" if sock.family == socket.AF_UNIX else "tcp"

    async def connect() -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: server.protocol(kind), sock)
        except OSError as error:
            log.warning("a client could not be added", cause=str(error))
            sock.close()

    server.spawn(connect())


def _power_requests(management: VncManagement) -> TunnelFactory:
    """Has sessions pass on what their clients want done to the machine (xvp)."""
    return lambda line: _PowerRequests(line, management)


_SIGNALS: Final[Mapping[int, str]] = {
    XvpCode.SHUTDOWN: "ShutdownRequest",
    XvpCode.RESET: "ResetRequest",
}


class _PowerRequests:
    """See `sidecar.vnc.tunnel.Tunnel`."""

    def __init__(self, line: Line, management: VncManagement) -> None:
        self._line = line
        self._management = management

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {Xvp: self._handle}

    def _handle(self, event: Xvp) -> None:
        # a reboot in good order is for the guest itself to do; QEMU answers the same
        signal = _SIGNALS.get(event.code)
        if self._line.session.view_only or signal is None:
            self._line.write(messages.xvp(XvpCode.FAIL))
        else:
            self._management.request(self._line.session, signal)

    def agreed(self, capabilities: ClientCapabilities, owed: Owed) -> None:
        """Nothing is told of it."""

    def wait(self) -> None:
        """Nothing is sent unasked."""

    def ready(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is held."""
