"""The RDP server of `vdi-qemu-rdp`: the daemon's own, with a manager's certificate and credentials."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sidecar.access.certificate import CertificateUnusable, ServerCertificate
from sidecar.access.logins import Logins
from sidecar.access.throttle import Throttle
from sidecar.config.address import TcpAddress
from sidecar.drop_in.certificates import Certificates
from sidecar.drop_in.ending import Ending
from sidecar.drop_in.listening import listen_on
from sidecar.drop_in.machine import machine
from sidecar.drop_in.rdp_credentials import OneUser, RdpCredentials
from sidecar.input.layout import Layout
from sidecar.log import get_logger
from sidecar.qemu.attach import Attach
from sidecar.rdp.access import Access
from sidecar.rdp.credssp import nla_available
from sidecar.rdp.handshake import Nla
from sidecar.rdp.server import RdpServer
from sidecar.session.registry import Registry

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedAccess(Access):
    """Shows the certificate that was loaded."""

    certificates: Certificates | None = None

    def certificate(self) -> ServerCertificate:
        """As its base."""
        if self.certificates is None:
            raise CertificateUnusable("there is no certificate")
        return self.certificates.current


@asynccontextmanager
async def rdp_frontend(
    address: TcpAddress,
    certificates: Certificates,
    attach: Attach,
    ending: Ending,
    credentials: Callable[[], RdpCredentials | None],
) -> AsyncIterator[None]:
    """Serves while it is entered. Raises SidecarError when it cannot."""
    registry = Registry()
    logins = Logins(OneUser(credentials=credentials), throttle=Throttle(time.monotonic))
    access = LoadedAccess(
        certificates.directory, logins, Nla.OFFERED if nla_available() else Nla.OFF, certificates
    )
    async with machine(attach, ending) as there:
        server = RdpServer(
            there.tunnels.guest,
            registry,
            there.broadcasts,
            there.seats,
            access=access,
            layout=Layout("en-us"),
            channels=there.tunnels.rdp(),
        )
        async with server:
            for each in await listen_on(server, address):
                log.info("listening", host=each.host, service=each.service)
            try:
                yield
            finally:
                registry.close(ending.for_sessions)
