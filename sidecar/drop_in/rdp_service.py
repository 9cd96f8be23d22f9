"""`vdi-qemu-rdp` at work: on the bus as soon as it can be, and then as long as QEMU is there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.config.address import TcpAddress
from sidecar.drop_in.bus import management_bus, own, watch
from sidecar.drop_in.certificates import Certificates
from sidecar.drop_in.ending import Ending
from sidecar.drop_in.rdp_management import BUS_NAMES, RdpManagement
from sidecar.log import get_logger
from sidecar.qemu.attach import BusAttach

log = get_logger(__name__)

QEMU: Final = "org.qemu"


@dataclass(frozen=True, slots=True, kw_only=True)
class RdpOptions:
    """Options of `vdi-qemu-rdp serve`."""

    dbus_address: str
    address: TcpAddress
    certificate: Path
    key: Path


async def serve(options: RdpOptions) -> None:
    """Serves until QEMU goes, or a signal comes. Raises SidecarError."""
    certificates = Certificates(options.certificate, options.key)
    ending = Ending()
    with ending.on_signals():
        async with management_bus(options.dbus_address, ending) as connection:
            management = RdpManagement(connection)
            # libvirt starts this program before QEMU, and has no option that says so
            await watch(connection, QEMU, ending, wait=True)
            for name in BUS_NAMES:
                await own(connection, name)
            await _serve(options, certificates, ending, management)


async def _serve(
    options: RdpOptions, certificates: Certificates, ending: Ending, management: RdpManagement
) -> None:
    from sidecar.drop_in.rdp_frontend import rdp_frontend

    attach = BusAttach(options.dbus_address, QEMU)
    async with rdp_frontend(options.address, certificates, attach, ending, lambda: management.credentials):
        reason = await ending.wait()
        log.info("ending", reason=reason)
        # what fails says nothing: that tells a manager that it was not meant
        management.leave(reason)
